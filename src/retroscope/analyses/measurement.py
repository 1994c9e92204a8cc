"""The type `Measurement`: what one analysis measured on one collection, saved to and loaded from a folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from retroscope.collection.records import Run
from retroscope.errors import AnalysisError
from retroscope.files.checksums import Sealed, open_sealed
from retroscope.files.documents import SCHEMA, as_json, clean, parse_document, write_text
from retroscope.files.whole import whole_folder
from retroscope.scores import Scores, dataset_in, files_of, scores_in, store_of

FACTS, SCORES, DATASETS = "measurement.json", "scores.zarr", "datasets.zarr"


@dataclass(frozen=True, eq=False)
class Measurement:
    """Everything that one analysis measured on one collection, before any test.

    The analysis chooses the names of scores, frames and datasets, e.g. "before/bare".

    Attributes:
        scores: name -> scores of every query, e.g. with the dimensions query, layer and measure.
        frames: name -> table.
        datasets: name -> arrays with labels.
        facts: other values that the report needs, JSON-like.
        caveats: sentences that warn the reader of the report about these numbers.
        seconds: stage of the work -> how many seconds it took.
        runs: model -> rankings of all queries. They are written as TREC run files, which are never read again.
        collection: name of the collection, filled in by the caller of the analysis.
        key: hash of all settings and inputs that determine the measurement, filled in by the caller of the analysis. ""
            if it is not known.
    """

    scores: Mapping[str, Scores] = field(default_factory=dict)
    frames: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    datasets: Mapping[str, xr.Dataset] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    caveats: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    runs: Mapping[str, Run] = field(default_factory=dict)
    collection: str = ""
    key: str = ""

    def save(self, folder: Path, write_run: Callable[[Run, Path, str], None] | None = None) -> None:
        """Write the measurement into `folder`, which is replaced as a whole.

        Args:
            folder: the folder to write.
            write_run: function that writes rankings to a path, with a run tag. If None, rankings are not written.

        Raises:
            SettingsError: if the folder holds files that no study wrote.
        """
        with whole_folder(folder) as new:
            scores = {name: labelled.as_dataset() for name, labelled in self.scores.items()}
            for store, groups in ((SCORES, scores), (DATASETS, self.datasets)):
                for path, content in files_of(groups).items():
                    _inside(new, f"{store}/{path}").write_bytes(content)
            for name, frame in self.frames.items():
                frame.to_parquet(_inside(new, f"{name}.parquet"), index=False)
            for name, run in self.runs.items():
                if write_run is not None:
                    write_run(run, new / f"{name}.run", name)
            write_text(new / FACTS, as_json(self._facts()))

    def _facts(self) -> dict[str, Any]:
        names = {"scores": list(self.scores), "frames": list(self.frames), "datasets": list(self.datasets)}
        values = {
            "facts": self.facts,
            "caveats": list(self.caveats),
            "seconds": dict(self.seconds),
            "collection": self.collection,
            "key": self.key,
        }
        return {"schema": SCHEMA, **{name: clean(value) for name, value in (names | values).items()}}


def load_measurement(folder: Path, fix: str = "measure again") -> Measurement:
    """Read a stored measurement from its folder, without its rankings.

    Args:
        fix: what an error tells the user to do if the measurement is missing or damaged.

    Raises:
        AnalysisError: if the measurement is missing, or has another schema.
        DamageError: if one of its files is damaged.
    """
    if not folder.exists():
        raise AnalysisError("the folder of this measurement is missing", where=str(folder), fix=fix)
    sealed = open_sealed(folder, fix)
    facts = facts_in(sealed)
    scores, datasets = store_of(sealed.below(SCORES)), store_of(sealed.below(DATASETS))
    return Measurement(
        scores={name: scores_in(scores, name) for name in facts["scores"]},
        frames={name: pd.read_parquet(BytesIO(sealed.read(f"{name}.parquet"))) for name in facts["frames"]},
        datasets={name: dataset_in(datasets, name) for name in facts["datasets"]},
        facts=facts["facts"],
        caveats=tuple(facts["caveats"]),
        seconds=facts["seconds"],
        collection=facts["collection"],
        key=facts.get("key", ""),
    )


def facts_in(sealed: Sealed) -> dict[str, Any]:
    """Read the JSON document of a stored measurement: its names of scores and tables, facts, caveats, times and key."""
    return parse_document(sealed.read(FACTS), sealed.folder / FACTS)


def _inside(folder: Path, name: str) -> Path:
    """Return the path of a file in a folder, and create the file's parent folder."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
