"""Test how much of the lost margin of corrupted queries is recovered by activation patching."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from retroscope.analyses.measurement import Measurement
from retroscope.analyses.patching.result import (
    PATCH_COLUMNS,
    RANDOM_COLUMNS,
    TOTAL_COLUMNS,
    PatchingResult,
    SidePatches,
)
from retroscope.analyses.section import Reading
from retroscope.attribution.patching.donors import OTHER, OTHER_CORRUPTED, OTHER_RANDOM, OWN, RANDOM_PATCH
from retroscope.scores import QUERY, Scores
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.difference import Difference
from retroscope.statistics.ratio import NO_RATIO, Ratio, ratio_of_means
from retroscope.statistics.resampling.clusters import clusters_by_row
from retroscope.statistics.settings import ComparisonSettings
from retroscope.typesetting.frames import alpha, rows
from retroscope.typesetting.subject import AFTER, BEFORE, MODEL

CELL = ["corruption", "tokens", "component"]
PATCH = ", "  # between the corruption and the tokens, in the label of a patch


def infer(measurements: Sequence[Measurement], reading: Reading) -> PatchingResult | None:
    """Test how much of the lost margin of corrupted queries is recovered by patched activations, in both models.

    Return None unless two models were measured.
    """
    if not measurements or f"{BEFORE}/recovered" not in measurements[0].scores:
        return None
    return patching_result(measurements[0], (BEFORE, AFTER), reading)


def patching_result(measurement: Measurement, sides: Sequence[str], reading: Reading) -> PatchingResult:
    """Test how much of the lost margin of corrupted queries is recovered by patched activations, in each model.

    For two models, patches of the other model's activations are tested, too.
    """
    statistics = replace(reading.subject.paired_statistics, margin=None, family_per=(), headline=None)
    names = {side: reading.subject.models[side].name for side in sides}
    patches = {}
    for side in sides:
        donor = "" if side == MODEL else names[AFTER if side == BEFORE else BEFORE]
        patches[side] = _side(measurement, side, (names[side], donor), statistics)
    return PatchingResult(patches, statistics.level)


def _side(measurement: Measurement, side: str, names: tuple[str, str], statistics: ComparisonSettings) -> SidePatches:
    total, recovered = measurement.scores[f"{side}/total"], measurement.scores[f"{side}/recovered"]
    spread = float(total.values.std(ddof=1)) or 1.0
    total, recovered = (replace(score, values=score.values / spread) for score in (total, recovered))
    by_donor = {
        str(donor): replace(recovered, values=recovered.values.sel(donor=donor, drop=True))
        for donor in recovered.values["donor"].values
    }
    patches = _carried(by_donor)
    own, random = patches.own, patches.random
    against_random = _compared(random, own, statistics)
    across = None if patches.other is None or patches.other_random is None else (
        _compared(patches.other_random, patches.other, statistics), _compared(own, patches.other, statistics)
    )  # fmt: skip
    table = _table(total, patches, (against_random, across), statistics)
    shares = [_random(total, one, statistics).assign(donor=name)
              for one, name in ((random, names[0]), (patches.other_random, names[1])) if one is not None]  # fmt: skip
    return SidePatches(names[0], names[1], _totals(total, statistics), table, pd.concat(shares, ignore_index=True),
                       against_random, across[1] if across else None)  # fmt: skip


def _compared(before: Scores, after: Scores, statistics: ComparisonSettings) -> Difference:
    return compare_scores(_measured_cells(before), _measured_cells(after), statistics)


class _Patches(NamedTuple):
    """Margins recovered by each kind of patched activation, as scores (query, corruption, tokens, component).

    Attributes:
        own: with the receiving model's activation for the clean query.
        random: with a random change of the same size.
        other: with the other model's activation for the clean query, minus `exchange`.
        other_random: with a random change of the size of the other model's change, minus `exchange`.
        exchange: with the other model's activation for the corrupted query, so that only the model is exchanged.
    """

    own: Scores
    random: Scores
    other: Scores | None = None
    other_random: Scores | None = None
    exchange: Scores | None = None


def _carried(by_donor: Mapping[str, Scores]) -> _Patches:
    """Return the recovered margins to test, from the scores by donor.

    `exchange` is subtracted from the margins that the other model's activations recover.
    """
    patches = _Patches(by_donor[OWN], by_donor[RANDOM_PATCH])
    if OTHER not in by_donor:
        return patches
    exchange = by_donor[OTHER_CORRUPTED]
    other, random = (replace(exchange, values=by_donor[donor].values - exchange.values)
                     for donor in (OTHER, OTHER_RANDOM))  # fmt: skip
    return patches._replace(other=other, other_random=random, exchange=exchange)


def _measured_cells(scores: Scores) -> Scores:
    """Return scores as (query, patch, component), where a patch is a combination of corruption and tokens.

    Combinations without any number are left out, e.g. the changed tokens of a removed word, which cannot be patched.
    """
    values = scores.values
    kinds, tokens = ([str(name) for name in values[dim].values] for dim in ("corruption", "tokens"))
    pairs = {f"{kind}{PATCH}{some}": values.sel(corruption=kind, tokens=some) for kind in kinds for some in tokens}
    pairs = {name: pair_scores for name, pair_scores in pairs.items() if np.isfinite(pair_scores.values).any()}
    flat = xr.concat([pair_scores.drop_vars(["corruption", "tokens"]) for pair_scores in pairs.values()], dim="patch")
    labelled = flat.assign_coords(patch=list(pairs)).transpose(QUERY, "patch", "component")
    return replace(scores, values=labelled)


def _patch_rows(difference: Difference) -> pd.DataFrame:
    """Return the rows of a difference with a column for the corruption and one for the tokens."""
    table = rows(difference)
    parts = table["patch"].astype(str).str.partition(PATCH)
    return table.drop(columns="patch").assign(corruption=parts[0], tokens=parts[2])


def _totals(total: Scores, statistics: ComparisonSettings) -> pd.DataFrame:
    nothing = replace(total, values=xr.zeros_like(total.values))
    totals = rows(compare_scores(nothing, total, statistics))
    named = {"effect": "clean_less_corrupted", "ci_low": "low", "ci_high": "high", "p_corrected": "p"}
    return totals.drop(columns="p").rename(columns=named)[list(TOTAL_COLUMNS)]


def _table(
    total: Scores,
    patches: _Patches,
    tests: tuple[Difference, tuple[Difference, Difference] | None],
    statistics: ComparisonSettings,
) -> pd.DataFrame:
    against_random, across = tests
    named = {"before": "random", "after": "own", "effect": "beyond", "ci_low": "beyond_low", "ci_high": "beyond_high",
             "p_corrected": "p"}  # fmt: skip
    frame = _patch_rows(against_random).drop(columns="p").rename(columns=named)
    frame = frame[[*CELL, *named.values(), "n"]]
    frame = frame.merge(_other(across), "left", CELL)
    means = total.values.mean(QUERY).to_series()
    frame["total"] = frame["corruption"].map(means)
    for prefix, part in (("", patches.own), ("other_", patches.other), ("exchange_", patches.exchange)):
        shares = [_share(total, part, row, statistics) for _, row in frame.iterrows()]
        for field, ratio in (("share", "value"), ("share_low", "low"), ("share_high", "high")):
            frame[f"{prefix}{field}"] = [getattr(share, ratio) for share in shares]
    kinds = frame["component"].astype(str).str.partition(" ")
    frame["kind"] = kinds[0]
    frame["layer"] = kinds[2].str.partition(".")[0].astype(int)
    beyond = frame["beyond"] * np.sign(frame["total"])
    level = alpha(against_random)
    frame["carries"] = (beyond > 0) & (frame["p"] < level) & (frame["share"] > 0)
    beyond = frame["other_beyond"] * np.sign(frame["total"])
    frame["other_carries"] = (beyond > 0) & (frame["p_other_beyond"] < level) & (frame["other_share"] > 0)
    return frame[list(PATCH_COLUMNS)]


def _other(across: tuple[Difference, Difference] | None) -> pd.DataFrame:
    """Compare the recovery by the other model's activations with random changes and with the receiver's own."""
    random = {"before": "other_random", "effect": "other_beyond", "ci_low": "other_beyond_low",
              "ci_high": "other_beyond_high", "p_corrected": "p_other_beyond"}  # fmt: skip
    own = {"after": "other", "effect": "other_less_own", "ci_low": "other_low", "ci_high": "other_high",
           "p_corrected": "p_other"}  # fmt: skip
    if across is None:
        nothing = pd.DataFrame(columns=[*CELL, *random.values(), *own.values()])
        return nothing.astype(dict.fromkeys([*random.values(), *own.values()], float))
    frames = [_patch_rows(test).drop(columns="p").rename(columns=named)[[*CELL, *named.values()]]
              for test, named in zip(across, (random, own), strict=True)]  # fmt: skip
    return frames[0].merge(frames[1], "left", CELL)


def _share(total: Scores, patch: Scores | None, row: "pd.Series[Any]", statistics: ComparisonSettings) -> Ratio:
    """Return the share of the lost margin that a patch recovers, over the queries with both the loss and the patch."""
    if patch is None:
        return NO_RATIO
    part = patch.values.sel({name: row[name] for name in CELL})
    whole = total.values.sel(corruption=row["corruption"])
    return _ratio(part, whole, total, statistics)


def _ratio(part: xr.DataArray, whole: xr.DataArray, scores: Scores, statistics: ComparisonSettings) -> Ratio:
    measured = np.isfinite(part.values) & np.isfinite(whole.values)
    if measured.sum() < 2:
        return NO_RATIO
    clusters = clusters_by_row(replace(scores, values=whole[measured]))
    return ratio_of_means(part.values[measured], whole.values[measured], statistics.level, clusters)


def _random(total: Scores, random: Scores, statistics: ComparisonSettings) -> pd.DataFrame:
    """Return the mean and the largest share of the lost margin that random changes recover, over components."""
    records = []
    values = random.values
    for kind in values["corruption"].values.tolist():
        whole = total.values.sel(corruption=kind)
        for tokens in values["tokens"].values.tolist():
            cells = values.sel(corruption=kind, tokens=tokens)
            shares = [_ratio(cells.sel(component=one), whole, total, statistics).value
                      for one in cells["component"].values]  # fmt: skip
            known = [share for share in shares if np.isfinite(share)]
            if known:
                records.append((kind, tokens, float(np.mean(known)), float(np.max(known))))
    return pd.DataFrame(records, columns=list(RANDOM_COLUMNS))
