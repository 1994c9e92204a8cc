"""From a name or a path to files on this machine."""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from retroscope.errors import EncoderError

# Everything but pickles: a checkpoint that has only those is refused, so there is no need to fetch them.
WANTED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "README.md")
COPIES = ("consolidated*", "original/*", "onnx/*", "openvino/*")  # the same weights once more, in other formats


def locate(source: str | Path, revision: str | None = None) -> Path:
    """Return the folder (or .gguf file) of a path or hub name; a hub name is downloaded unless it is cached."""
    path = Path(source).expanduser()
    if path.exists():
        return path
    if looks_like_a_path(source):
        raise EncoderError(f"there is no checkpoint at {str(source)!r}", fix="check the path")
    try:
        snapshot = snapshot_download(
            str(source), revision=revision, allow_patterns=list(WANTED), ignore_patterns=list(COPIES)
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, ConnectionError) as error:
        raise EncoderError(
            f"cannot get checkpoint {str(source)!r} from the hub ({type(error).__name__})",
            fix="check the name and the network, or give the path of a local folder",
        ) from error
    return Path(snapshot)


def looks_like_a_path(source: str | Path) -> bool:
    """Return whether a source that does not exist was meant as a path: hub names have at most one slash."""
    text = str(source)
    return isinstance(source, Path) or text.startswith((".", "/", "~")) or text.count("/") > 1 or "\\" in text


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """Read a JSON object of the folder; empty when the file is absent."""
    file = folder / name
    if not file.is_file():
        return {}
    content = _parse(file)
    if not isinstance(content, dict):
        raise EncoderError("expected a JSON object", where=str(file), fix="copy or download the file again")
    return content


def read_json_list(file: Path) -> list[dict[str, Any]]:
    """Read a JSON list of objects."""
    content = _parse(file)
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise EncoderError("expected a JSON list of objects", where=str(file), fix="copy or download the file again")
    return content


class _RepeatedKey(Exception):
    """A JSON object has a key twice; Python would silently keep the last value."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        raise _RepeatedKey(", ".join(repr(name) for name in values if names.count(name) > 1))
    return values


def _parse(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except _RepeatedKey as error:
        raise EncoderError(
            f"keys that occur more than once: {error}", where=str(file), fix="keep one of each: only one can be meant"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise EncoderError(
            f"not valid JSON ({error})", where=str(file), fix="copy or download the file again"
        ) from None


@contextmanager
def quiet() -> Iterator[None]:
    """Silence progress bars, log lines and warnings of model loading: the loading proof says it all, and exactly."""
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
