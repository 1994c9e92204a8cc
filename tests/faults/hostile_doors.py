"""The doors that foreign input comes through, and what happens there: each case in a process of its own.

A child has a limit of memory and of time, so that a case that never ends, or takes all memory, is counted and not felt.
"""

import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from hostile_case import Case

from retroscope.errors import RetroscopeError

MEMORY = 3 * 2**30  # bytes beyond what the parent holds
SECONDS = 60.0
LONGEST_MESSAGE = 12_000  # characters
REFUSED, ACCEPTED, TRACEBACK, HANG, ABORT, LONG, SPOKEN = (
    "refused", "accepted", "traceback", "hang", "abort", "long message", "spoke on standard output",
)  # fmt: skip
BAD = (TRACEBACK, HANG, ABORT, LONG, SPOKEN)


def open_retriever(source: Any) -> None:
    from retroscope.encoders.loading import load_retriever

    load_retriever(source, pooling="mean") if not has_modules(source) else load_retriever(source)


def has_modules(source: Any) -> bool:
    return isinstance(source, Path) and (source / "modules.json").exists()


def open_weights_of(source: Any) -> None:
    from retroscope.encoders.checkpoints.tensors import open_weights

    weights = open_weights(source)
    for read in weights.read.values():
        read()


def encode(source: Any) -> None:
    from retroscope.encoders.encode import encode_layers
    from retroscope.encoders.loading import load_retriever

    retriever = load_retriever(source, pooling="mean")
    encode_layers(retriever.passage, ["What was already there?", "a" * 3000, " " * 3000, "\x00\u202e"])


def open_collection(spec: Any) -> None:
    from retroscope.collection.loading import load_collection

    load_collection(spec)


def open_run(path: Any) -> None:
    from retroscope.collection.readers.trec_files import read_run

    read_run(path)


def open_texts(path: Any) -> None:
    from retroscope.inputs.load import read_lines

    read_lines(path)


def open_study_settings(path: Any) -> None:
    from retroscope.cli.resolve import resolve

    resolve({}, path, None)


def set_study_settings(assignments: Any) -> None:
    from retroscope.cli.resolve import resolve

    resolve({}, None, assignments)


def make_settings(call: Any) -> None:
    kind, values = call
    kind(**values)


DOORS: dict[str, Callable[[Any], None]] = {
    "retriever": open_retriever,
    "weights": open_weights_of,
    "encode": encode,
    "collection": open_collection,
    "run": open_run,
    "texts": open_texts,
    "settings file": open_study_settings,
    "--set": set_study_settings,
    "settings": make_settings,
}


@dataclass(frozen=True)
class Verdict:
    case: Case
    what: str
    seconds: float
    message: str

    @property
    def wrong(self) -> bool:
        return self.what in BAD or (self.what == ACCEPTED and self.case.refused)


def tried(case: Case, seconds: float = SECONDS) -> Verdict:
    """Put a case in front of its door, in a child."""
    folder = Path(tempfile.mkdtemp(prefix="hostile-"))
    reader, writer = os.pipe()
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _in_child(case, folder, writer)
    os.close(writer)
    try:
        answer, ended = b"", False
        while not ended and (left := start + seconds - time.monotonic()) > 0:
            if select.select([reader], [], [], left)[0]:
                part = os.read(reader, 2**16)
                answer += part
                ended = not part
        if not ended:
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    finally:
        os.close(reader)
        shutil.rmtree(folder, ignore_errors=True)
    what, _, message = answer.decode("utf-8", "replace").partition("\n")
    return Verdict(case, what if ended and what else ABORT if ended else HANG, time.monotonic() - start, message)


def _in_child(case: Case, folder: Path, writer: int) -> None:
    """Run one case and write its verdict; never return."""
    try:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 2)
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
        os.write(writer, answer_of(case, folder).encode("utf-8", "replace")[:50_000])
    finally:
        os._exit(0)


def answer_of(case: Case, folder: Path) -> str:
    spoken = StringIO()
    with redirect_stdout(spoken):
        try:
            given = case.make(folder)
        except Exception as error:
            return f"{ABORT}\nthe case itself: {error!r}"
        try:
            DOORS[case.door](given)
            what, message = ACCEPTED, ""
        except RetroscopeError as error:
            message = str(error)
            what = LONG if len(message) > LONGEST_MESSAGE else REFUSED
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            what, message = TRACEBACK, f"{type(error).__name__}: {str(error)[:300]} at {where.filename}:{where.lineno}"
    return f"{SPOKEN}\n{spoken.getvalue()[:200]}" if spoken.getvalue() else f"{what}\n{message}"


def all_tried(cases: Iterable[Case], seconds: float = SECONDS) -> Iterator[Verdict]:
    for case in cases:
        yield tried(case, seconds)


def summary(verdicts: list[Verdict]) -> str:
    """One line: how many inputs, and what went wrong."""
    counts = {what: sum(v.what == what for v in verdicts) for what in BAD}
    wrong = sum(v.what == ACCEPTED and v.case.refused for v in verdicts)
    slow = max((v.seconds for v in verdicts), default=0.0)
    words = ", ".join(f"{count} {what}" for what, count in counts.items())
    return f"{len(verdicts)} inputs: {words}, {wrong} accepted though wrong; the slowest took {slow:.1f} s"


def warm() -> None:
    """Import what the children need, once."""
    import bm25s  # noqa: F401
    import datasets  # noqa: F401
    import gguf  # noqa: F401
    import ir_datasets  # noqa: F401
    import transformers.models.auto  # noqa: F401

    import retroscope.cli.resolve
    import retroscope.encoders.checkpoints.tensors
    import retroscope.encoders.loading  # noqa: F401

    sys.stdout.flush()
