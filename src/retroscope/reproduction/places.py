"""Folders and files of a reproduction, and which of its trials are finished. No torch."""

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
    """What to reproduce and where: the published study, how much of it is measured, and the folders to write to.

    Attributes:
        study: the published study.
        scale: "smoke" or "full", with the limits on queries, examples and seeds.
        out: folder of all results.
        cache: folder of the cached vectors.
    """

    study: PublishedStudy
    scale: Scale
    out: Path
    cache: Path

    def folder(self, trial: ModelTrial) -> Path:
        """Return the run folder of a trial (one model on one data set under one protocol)."""
        return self.out / TRIALS / trial.name

    def rows(self, data: str, split: str) -> Path:
        """Return the folder for a data set that is limited to `scale.limit_queries` randomly drawn questions."""
        return self.out / ROWS / f"{data}-{split}-{self.scale.limit_queries}"

    def about(self, trial: ModelTrial) -> Path:
        """Return the path of the JSON file that marks a trial as finished."""
        return self.out / TRIALS / f"{trial.name}{ABOUT}"


@dataclass(frozen=True, eq=False)
class MeasuredTrial:
    """One finished measurement (trial) of a reproduction: a model on a data set under a protocol, with its results.

    Attributes:
        trial: the model, data set and protocol that were measured.
        measurement: what the analysis (probes or neurons) measured.
        facts: content of the file that marks the trial as finished, e.g. the commits of model and data set, and whether
            they are made up.
    """

    trial: ModelTrial
    measurement: Measurement
    facts: dict[str, Any]

    @property
    def made_up(self) -> bool:
        """Return whether the weights or texts of the trial are made up (`--scale smoke`) and not the paper's."""
        return bool(self.facts["made_up"])


def made_up_snapshot(hub: Path, kind: str, source: str) -> Path:
    """Return the folder of a model or data set in the made-up hub cache of `--scale smoke`.

    Args:
        hub: folder of the made-up hub cache.
        kind: "models" or "datasets".
        source: hub name of the model or data set.
    """
    commit = hashlib.sha1(f"made up: {source}".encode(), usedforsecurity=False).hexdigest()
    return hub / f"{kind}--{source.replace('/', '--')}" / "snapshots" / commit


def trial_key(study: PublishedStudy, trial: ModelTrial, scale: Scale) -> str:
    """Return a hash of the settings, limits and revision that determine the numbers of one measurement (trial)."""
    values = trial_values(study, trial, scale, "")
    values["after"]["load"].pop("device", None)
    determinants = {"settings": values, "limit": scale.limit_queries, "revision": study.revision, "schema": SCHEMA}
    return fingerprint(ordered(determinants))[:32]


def facts_if_done(place: Workplace, trial: ModelTrial) -> dict[str, Any] | None:
    """Return the stored record of one measurement (trial), or None if it must be made (again).

    It must be made if there is no record, if the record is damaged, or if it was made with other settings, e.g. at
    scale "smoke" while `place.scale` is "full".
    """
    try:
        facts = read_document(place.about(trial))
    except (DamageError, AnalysisError):  # absent, damaged or of another version: it is measured again
        return None
    return facts if facts["key"] == trial_key(place.study, trial, place.scale) else None


def read_trial(place: Workplace, trial: ModelTrial) -> MeasuredTrial | None:
    """Return one finished measurement (trial) from its folder, or None if it must be made (again).

    Raises:
        DamageError: if the trial's run folder is damaged.
    """
    facts = facts_if_done(place, trial)
    if facts is None:
        return None
    return MeasuredTrial(trial, load_study(place.folder(trial)).measured[trial.kind][0], facts)
