"""Convert paired differences and means to JSON-like records, for `summary.json`."""

from collections.abc import Mapping
from typing import Any

import xarray as xr

from retroscope.files.documents import clean
from retroscope.scores import Scores
from retroscope.statistics.difference import Difference
from retroscope.statistics.settings import ComparisonSettings
from retroscope.statistics.summaries import summarise

Record = dict[str, Any]


def measure_table(scores: Scores, settings: ComparisonSettings) -> dict[str, Record]:
    """Return, for one model, the mean of each measure with its interval and number of queries."""
    table = summarise(scores, settings.intervals)
    return {str(m): _numbers(table.sel(measure=m), ("mean", "ci_low", "ci_high", "n")) for m in table["measure"].values}


def effect_records(difference: Difference | None) -> list[Record]:
    """Return a record for each tested effect, e.g. at one layer: its labels, the means before and after, the effect."""
    if difference is None:
        return []
    records = []
    for row in difference.to_frame().to_dict(orient="records"):
        labels = {_LABELS.get(str(dim), str(dim)): row[dim] for dim in difference.before.values.dims[1:]}
        sides = {side: _side(row, side) for side in ("before", "after")}
        change = {"mean": row["effect"]} | {name: row[name] for name in _CHANGE}
        records.append(clean({**labels, **sides, "difference": change, "n": row["n"]}))
    return records


_LABELS = {"passages": "n_passages"}
_CHANGE = (
    "ci_low",
    "ci_high",
    "p",
    "p_corrected",
    "test_used",
    "wins",
    "ties",
    "losses",
    "p_equivalence",
    "equivalent",
)


def _side(row: Mapping[str, Any], side: str) -> Record:
    return {"mean": row[side], "ci_low": row[f"{side}_low"], "ci_high": row[f"{side}_high"]}


def _numbers(table: xr.Dataset, names: tuple[str, ...]) -> Record:
    return {name: clean(table[name].item()) for name in names}


def by_measure(difference: Difference | None) -> dict[str, Record]:
    """Return, for each measure, the record of the effect of fine-tuning on it (see `effect_records`)."""
    return {record.pop("measure"): record for record in effect_records(difference)}


def mean_records(scores: Scores | None, settings: ComparisonSettings) -> list[Record]:
    """Return a record for each mean of one model's scores, e.g. at one layer: labels, mean, interval, n.

    If `scores` is None, there is no record.
    """
    if scores is None:
        return []
    frame = summarise(scores, settings.intervals).to_dataframe().reset_index()
    return [clean(row) for row in frame.to_dict(orient="records")]
