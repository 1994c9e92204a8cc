"""The type `Finding`: the result of one check, with its evidence and advice."""

from dataclasses import dataclass
from pathlib import Path

from retroscope.encoders.settings import LoadSettings

ERROR, WARNING, NOTE, PASSED = "error", "warning", "note", "passed"
SEVERITIES = (ERROR, WARNING, NOTE, PASSED)


@dataclass(frozen=True)
class Finding:
    """The result of one check of a model: severity, evidence and advice.

    Attributes:
        severity: one of `SEVERITIES`.
        check: what was checked.
        text: the result, with its evidence.
        fix: what to do, empty where nothing is wrong.
    """

    severity: str
    check: str
    text: str
    fix: str = ""


@dataclass(frozen=True)
class Origin:
    """Source from which a tower was loaded, and its settings.

    Attributes:
        path: the folder or file.
        load: how it was loaded.
        prompted: whether one of the retriever's towers has a prompt.
        towers: the towers whose texts go through the encoder.
    """

    path: Path
    load: LoadSettings
    prompted: bool = False
    towers: tuple[str, ...] = ("passage",)
