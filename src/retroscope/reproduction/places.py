"""Folders of a reproduction's trials, and the state of trials. No torch."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retroscope.analyses.measurement import Measurement
from retroscope.errors import AnalysisError, DamageError
from retroscope.files.documents import SCHEMA, fingerprint, ordered, read_document
from retroscope.reproduction.published import PublishedStudy
from retroscope.reproduction.trials import ModelTrial, Scale, trial_values
from retroscope.study.study import load_study

TRIALS, ABOUT, VECTORS, HUB, RESULTS, ROWS = (
    "trials",
    ".about.json",
    "vectors",
    "hub",
    "results.json",
    "rows",
)


@dataclass(frozen=True)
class Workplace:
    """Folders that a reproduction reads and writes.

    Attributes:
        study: the study that is reproduced.
        scale: how much is measured.
        out: folder of all results.
        cache: folder of the vectors.
    """

    study: PublishedStudy
    scale: Scale
    out: Path
    cache: Path

    def folder(self, trial: ModelTrial) -> Path:
        """Return the folder of a trial's study."""
        return self.out / TRIALS / trial.name

    def rows(self, data: str, split: str) -> Path:
        """Return the folder for rows drawn from a data set, for a limited number of questions."""
        return self.out / ROWS / f"{data}-{split}-{self.scale.limit_queries}"

    def about(self, trial: ModelTrial) -> Path:
        """Return the path of the record that marks a trial as done."""
        return self.out / TRIALS / f"{trial.name}{ABOUT}"


@dataclass(frozen=True, eq=False)
class MeasuredTrial:
    """One finished trial: its measurement, and the facts in its record.

    Attributes:
        trial: what was measured.
        measurement: measurement of its analysis.
        facts: sources of the trial, and whether they are made up.
    """

    trial: ModelTrial
    measurement: Measurement
    facts: dict[str, Any]

    @property
    def made_up(self) -> bool:
        """Return whether the trial's weights or data are made up."""
        return bool(self.facts["made_up"])


def made_up_snapshot(hub: Path, kind: str, source: str) -> Path:
    """Return the folder of a snapshot in the fake hub cache.

    Args:
        kind: "models" or "datasets".
        source: hub name.
    """
    commit = hashlib.sha1(f"made up: {source}".encode(), usedforsecurity=False).hexdigest()
    return hub / f"{kind}--{source.replace('/', '--')}" / "snapshots" / commit


def trial_key(study: PublishedStudy, trial: ModelTrial, scale: Scale) -> str:
    """Return the hash of everything that determines a trial's numbers."""
    values = trial_values(study, trial, scale, "")
    values["after"]["load"].pop("device", None)
    made_of = {"settings": values, "limit": scale.limit_queries, "revision": study.revision, "schema": SCHEMA}
    return fingerprint(ordered(made_of))[:32]


def facts_if_done(place: Workplace, trial: ModelTrial) -> dict[str, Any] | None:
    """Return the record of a finished trial, or None if it was not measured at this scale or is damaged."""
    try:
        facts = read_document(place.about(trial))
    except (DamageError, AnalysisError):  # absent, damaged or of another version: it is measured again
        return None
    return facts if facts["key"] == trial_key(place.study, trial, place.scale) else None


def read_trial(place: Workplace, trial: ModelTrial) -> MeasuredTrial | None:
    """Return the measurement of a trial, or None if it is not finished.

    Raises:
        DamageError: if its study is damaged.
    """
    facts = facts_if_done(place, trial)
    if facts is None:
        return None
    return MeasuredTrial(trial, load_study(place.folder(trial)).measured[trial.kind][0], facts)
