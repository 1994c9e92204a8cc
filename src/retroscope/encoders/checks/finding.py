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
    """The checkpoint and the settings from which an encoder was loaded.

    Attributes:
        path: the folder or file of the checkpoint.
        load: the settings.
        prompted: whether one of the retriever's towers has a prompt.
        towers: the towers that the encoder serves: "query", "passage" or both.
    """

    path: Path
    load: LoadSettings
    prompted: bool = False
    towers: tuple[str, ...] = ("passage",)
