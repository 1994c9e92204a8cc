"""What a run left: every file below a folder, so that two runs can be compared byte by byte.

What may differ from run to run is named here, and nothing else may: the times that a study records, with the
checksums of the documents that hold them, and how token ids are spread over the files of their cache.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMES = {"timings", "seconds", "checksum"}  # names in JSON: times, and what depends on them
DATED = re.compile(rb"\w+  measurement\.json\n")  # in the list of a measurement's files
TIMES_TAKEN = re.compile(rb"<caption>Time taken</caption>.*?</table>", re.DOTALL)
FREE = re.compile(r"cache/tokens/")
# The file whose arrival finishes a task: a window of vectors, an attribution, a window of hybrids, an analysis, a
# checkpoint, a cell, a training.
TASKS = re.compile(
    r"(/vectors/c/\d+/0/0|/neurons-\w+\.npz|/transplants/.*\.npy|/measurements/\w+|/checkpoint-\d+/whole"
    r"|/cell\.json|/training\.json)$"
)


@dataclass(frozen=True)
class Footprint:
    """Path -> digest of the content, and every folder."""

    files: Mapping[str, str]
    folders: frozenset[str]

    def differing(self, other: "Footprint") -> list[str]:
        """Return the files that are missing in another one, or have another content there."""
        return sorted(path for path, digest in self.files.items() if other.files.get(path) != digest)

    def leftovers(self, other: "Footprint") -> list[str]:
        """Return the files and folders that another one has besides."""
        return sorted({*other.files, *other.folders} - {*self.files, *self.folders})


def footprint(root: Path) -> Footprint:
    """Return what is in a folder now."""
    paths = [path for path in sorted(root.rglob("*")) if not FREE.search(path.relative_to(root).as_posix())]
    files = {path.relative_to(root).as_posix(): digest(path) for path in paths if path.is_file()}
    return Footprint(files, frozenset(p.relative_to(root).as_posix() for p in paths if p.is_dir()))


def digest(file: Path) -> str:
    """Return the SHA-256 of a file, without the times that it records."""
    content = file.read_bytes()
    if file.suffix == ".json" and b'"' in content:
        content = json.dumps(_timeless(json.loads(content))).encode()
    if file.name == ".retroscope":
        content = DATED.sub(b"", content)
    if file.name == "report.html":
        content = TIMES_TAKEN.sub(b"", content)
    return hashlib.sha256(content).hexdigest()


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _timeless(part) for name, part in value.items() if name not in TIMES}
    return [_timeless(part) for part in value] if isinstance(value, list) else value


def tasks(lines: Iterable[str], root: Path) -> Counter[str]:
    """Count the tasks that the noted calls of a run finished."""
    calls = (line.partition("\t") for line in lines)
    return Counter(path for event, _, path in calls if event in ("os.rename", "open") and TASKS.search(path))
