"""Find the files of a checkpoint on this machine, from a name or a path."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download

from retroscope.errors import EncoderError, excerpt
from retroscope.files.reading import DOWNLOAD_AGAIN, check_file, foreign, path_of, read_whole
from retroscope.files.strict_json import BrokenJsonError, parse_json

# Everything but pickles: a checkpoint that has only those is refused, so there is no need to fetch them.
WANTED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "README.md")
GGUF = "*.gguf"
MODULES = "modules.json"  # of sentence-transformers
ADAPTER_CONFIG = "adapter_config.json"  # of PEFT
KEPT_BASE = "backbone"  # a copy of the base that is kept beside an adapter is its base wherever they are moved
MOST_ENTRIES = 100_000  # files of a folder, those of its folders included
MOST_NAMES = 1000  # that are compared with a path of nothing
COPIES = ("consolidated*", "original/*", "onnx/*", "openvino/*")  # the same weights once more, in other formats


def locate(source: str | Path, revision: str | None = None) -> Path:
    """Return the folder (or .gguf file) of a path or hub name. A hub name is downloaded unless it is cached."""
    path = path_of(source, EncoderError)
    if path.exists():
        _check_entries(path)
        return path
    meant = _near(path)
    if looks_like_a_path(source):
        raise EncoderError(
            f"there is no checkpoint at {str(source)!r}", fix=meant or "give the path of a folder or of a .gguf file"
        )
    fix = meant or "check the name and the network, or give the path of a local folder"
    with foreign(EncoderError, f"cannot get checkpoint {excerpt(str(source))} from the hub", "", fix):
        snapshot = snapshot_download(
            str(source), revision=revision, allow_patterns=list(WANTED), ignore_patterns=list(COPIES)
        )
    return Path(snapshot)


def _near(path: Path) -> str:
    """Return a suggestion for a path that does not exist ("did you mean ...?"), or "" if no name is similar."""
    beside: list[str] = []
    with suppress(OSError):  # a folder that may not be listed suggests nothing
        beside = [entry.name for entry in islice(path.parent.iterdir(), MOST_NAMES)]
    near = get_close_matches(path.name, beside, n=2, cutoff=0.7)
    return f"did you mean {' or '.join(repr(str(path.parent / name)) for name in near)}?" if near else ""


def _check_entries(path: Path) -> None:
    """Refuse a checkpoint with a pipe, a device or a loop of links, which a library might read forever."""
    with foreign(EncoderError, "this checkpoint cannot be read", path, "check its permissions"):
        entries = [path, *path.rglob("*")] if path.is_dir() else [path]
        if len(entries) > MOST_ENTRIES:
            raise EncoderError(
                f"this folder has more than {MOST_ENTRIES:,} files, which no checkpoint has",
                where=str(path),
                fix="give the folder of the checkpoint itself",
            )
        for entry in entries:
            opened = entry == path or any(entry.match(pattern) for pattern in (*WANTED, GGUF))
            if opened and not entry.is_dir():
                check_file(entry, EncoderError)


def base_beside(folder: Path, source: str, *, given: bool) -> Path | None:
    """Return the base model that lies inside an adapter's folder, or None if the base model is elsewhere.

    Args:
        source: the base model: a path or a hub name.
        given: whether the user named this base model. Otherwise the adapter's settings name it.
    """
    copy = folder / KEPT_BASE
    if not given and Path(source).name == KEPT_BASE and (copy / "config.json").is_file():
        return copy
    return folder / source if (folder / source).is_dir() else None


def looks_like_a_path(source: str | Path) -> bool:
    """Return whether a source is meant as a path, not as a hub name. Hub names have at most one slash."""
    text = str(source)
    return isinstance(source, Path) or text.startswith((".", "/", "~")) or text.count("/") > 1 or "\\" in text


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """Read the JSON object in the file `name` of a folder, or return {} if there is no such file."""
    file = folder / name
    if not file.exists():
        return {}
    content = _parse(file)
    if not isinstance(content, dict):
        raise EncoderError(f"expected a JSON object, found {excerpt(content)}", where=str(file), fix=DOWNLOAD_AGAIN)
    return content


def read_json_list(file: Path) -> list[dict[str, Any]]:
    """Read a JSON list of objects from a file."""
    content = _parse(file)
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise EncoderError(
            f"expected a JSON list of objects, found {excerpt(content)}", where=str(file), fix=DOWNLOAD_AGAIN
        )
    return content


def _parse(file: Path) -> Any:
    try:
        return parse_json(read_whole(file, EncoderError))
    except BrokenJsonError as error:
        raise EncoderError(
            f"this JSON cannot be read: {error.what}", where=str(file), fix=error.fix or DOWNLOAD_AGAIN
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the libraries' progress bars, log lines and warnings while a model is loaded."""
    from transformers.utils import logging as transformers_logging

    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(transformers_logging.CRITICAL)
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
