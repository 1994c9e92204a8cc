"""Test the effects of attention heads, from the measured changes of the margin."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import spearmanr

from retroscope.analyses.heads.result import HEAD_COLUMNS, HeadResult, SetEffect, SideHeads
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.section import Reading
from retroscope.attribution.heads.accuracy import EstimateError, estimate_error
from retroscope.scores import QUERY, Scores
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.difference import Difference
from retroscope.statistics.settings import ComparisonSettings
from retroscope.statistics.testing.prediction import prediction_p
from retroscope.typesetting.frames import alpha, rows
from retroscope.typesetting.subject import AFTER, BEFORE, MODEL

TOP_ROLE, CONTROL_ROLE, RANDOM_ROLE, OTHER_TOP_ROLE = "top", "control", "random", "other's top"


def infer(measurements: Sequence[Measurement], reading: Reading) -> HeadResult | None:
    """Test the effects of the attention heads of both models, and the changes by fine-tuning.

    Return None unless two models were measured.
    """
    if not measurements or f"{BEFORE}/exact" not in measurements[0].scores:
        return None
    return head_result(measurements[0], (BEFORE, AFTER), reading)


def head_result(measurement: Measurement, sides: Sequence[str], reading: Reading) -> HeadResult:
    """Test the effects of the attention heads of each named model, and compare the models if there are two."""
    statistics = replace(reading.subject.paired_statistics, margin=None, family_per=(), headline=None)
    models = {side: reading.subject.models[side].name for side in sides}
    heads = {side: _side(measurement, side, models[side], statistics) for side in sides}
    result = HeadResult(
        heads, tuple(measurement.facts["towers"]), statistics.level, notes=tuple(measurement.facts["notes"])
    )
    if MODEL in sides:
        return result
    exact = [_in_spreads(measurement.scores[f"{side}/exact"], heads[side].spread) for side in sides]
    change = compare_scores(exact[0], exact[1], statistics)
    estimates = [heads[side].estimates.ravel() for side in sides]
    agreement = float("nan")
    if all(np.ptp(values) > 0 for values in estimates) and len(estimates[0]) == len(estimates[1]):
        agreement = float(spearmanr(*estimates).statistic)
    shift = _shift(measurement, change, statistics)
    return replace(result, change=change, agreement=agreement, shift=shift)


def _in_spreads(scores: Scores, spread: float) -> Scores:
    return replace(scores, values=scores.values / spread)


def _side(measurement: Measurement, side: str, name: str, statistics: ComparisonSettings) -> SideHeads:
    scores, facts = measurement.scores, measurement.facts
    spread = float(scores[f"{side}/margin"].values.std(ddof=1)) or 1.0
    exact = _in_spreads(scores[f"{side}/exact"], spread)
    estimates = scores[f"{side}/estimates"].values / spread
    effect = compare_scores(replace(exact, values=xr.zeros_like(exact.values)), exact, statistics)
    top = tuple(facts["top"][side])
    tested = estimates.sel({QUERY: exact.values[QUERY].values})
    retrieval = scores[f"{side}/retrieval"]
    return SideHeads(
        name=name,
        spread=spread,
        estimates=estimates.mean(QUERY).values,
        table=_table(effect, exact, tested, _roles(facts, side), controls=facts["controls"], statistics=statistics),
        exact=effect,
        errors=_errors(exact.values, tested, facts, top),
        sets=tuple(_set_effects(retrieval, statistics)),
        top=top,
        single=_single(retrieval, top),
        eager=facts["eager"].get(side, {}),
        attention=measurement.frames.get(f"{side}/attention"),
    )


def _roles(facts: Mapping[str, Any], side: str) -> dict[str, str]:
    """Return name of each ablated head -> its role in one model: "top", "other's top", "control" or "random"."""
    controls = {head for heads in facts["controls"].values() for head in heads}
    roles = dict.fromkeys(facts["sample"], RANDOM_ROLE) | dict.fromkeys(controls, CONTROL_ROLE)
    others = {head for heads in facts["top"].values() for head in heads}
    return dict.fromkeys(others, OTHER_TOP_ROLE) | roles | dict.fromkeys(facts["top"][side], TOP_ROLE)


def _columns(estimates: xr.DataArray, heads: Sequence[str]) -> np.ndarray:
    """Return the estimates of the named heads, (query, head)."""
    at = [tuple(map(int, head.split("."))) for head in heads]
    return np.stack([estimates.sel(layer=layer, head=head).values for layer, head in at], axis=1)


def _errors(
    exact: xr.DataArray, estimates: xr.DataArray, facts: Mapping[str, Any], top: Sequence[str]
) -> dict[str, EstimateError]:
    groups = {"all": [str(head) for head in exact["head"].values], "top": list(top), "random": list(facts["sample"])}
    return {
        name: estimate_error(_columns(estimates, heads), exact.sel(head=heads).values)
        for name, heads in groups.items()
        if heads
    }


def _table(
    effect: Difference,
    exact: Scores,
    estimates: xr.DataArray,
    roles: Mapping[str, str],
    *,
    controls: Mapping[str, Sequence[str]],
    statistics: ComparisonSettings,
) -> pd.DataFrame:
    """Return a row for each ablated head, with the columns `HEAD_COLUMNS`."""
    effects = rows(effect)
    heads = [str(head) for head in effects["head"]]
    top = [head for head in heads if roles[head] == TOP_ROLE]
    beyond = _beyond(exact, top, controls, statistics)
    frame = effects[["effect", "ci_low", "ci_high", "p_corrected"]].assign(
        head=heads, role=[roles[head] for head in heads], estimate=_columns(estimates, heads).mean(0)
    )
    frame = frame.merge(beyond, "left", "head")
    level = alpha(effect)
    lower = (frame["effect"] < 0) & (frame["p_corrected"] < level)
    frame["carries"] = lower & (frame["beyond"] < 0) & (frame["p_beyond"] < level)
    return frame[list(HEAD_COLUMNS)]


def _beyond(
    exact: Scores, top: Sequence[str], controls: Mapping[str, Sequence[str]], statistics: ComparisonSettings
) -> pd.DataFrame:
    """Test the effect of each top head against the mean effect of control heads of the same layer."""
    columns = ["head", "beyond", "beyond_low", "beyond_high", "p_beyond"]
    means = {}
    for head in top:
        others = controls.get(head.split(".")[0])
        if others:
            means[head] = exact.values.sel(head=list(others)).mean("head").values
    if not means:
        return pd.DataFrame(columns=columns)
    mine = exact.values.sel(head=list(means))
    control = mine.copy(data=np.stack(list(means.values()), axis=1))
    tested = rows(compare_scores(replace(exact, values=control), replace(exact, values=mine), statistics))
    named = {"effect": "beyond", "ci_low": "beyond_low", "ci_high": "beyond_high", "p_corrected": "p_beyond"}
    return tested.rename(columns=named)[columns]


def _set_effects(retrieval: Scores, statistics: ComparisonSettings) -> list[SetEffect]:
    """Compare retrieval with all top heads fixed and with random sets fixed, one `SetEffect` for each measure."""
    values = retrieval.values
    names = [str(name) for name in values["set"].values]
    draws = [name for name in names if name.startswith("random ")]
    top, random = values.sel(set="top", drop=True), values.sel(set=draws)
    beyond = compare_scores(replace(retrieval, values=random.mean("set")), replace(retrieval, values=top), statistics)
    sizes = retrieval.recipe["sets"]
    heads = (len(sizes["top"]), min(len(sizes[name]) for name in draws))
    effects = []
    for row in rows(beyond).to_dict(orient="records"):
        at = {"measure": row["measure"]}
        means = random.sel(at).mean(QUERY).values
        mean = float(top.sel(at).mean())
        effects.append(
            SetEffect(
                row["measure"], float(values.sel(set="intact", **at).mean()), mean, float(means.mean()),
                float(means.min()), float(means.max()), row["effect"], row["ci_low"], row["ci_high"],
                row["p_corrected"], prediction_p(mean, means), heads, int(row["n"]),
            )
        )  # fmt: skip
    return effects


def _single(retrieval: Scores, top: Sequence[str]) -> pd.DataFrame:
    """Return a row for each top head: the mean of every measure if that head alone is fixed."""
    means = retrieval.values.sel(set=list(top)).mean(QUERY)
    frame = pd.DataFrame(means.values, columns=[str(name) for name in means["measure"].values])
    frame.insert(0, "head", list(top))
    return frame


def _shift(measurement: Measurement, change: Difference, statistics: ComparisonSettings) -> Difference | None:
    """Compare how much heads attend to each kind of token before and after, or None if attention was not measured.

    The heads are those whose effect on the margin changed significantly or, if there are none, the top heads.
    """
    sides = [measurement.scores.get(f"{side}/attention") for side in (BEFORE, AFTER)]
    if sides[0] is None or sides[1] is None:
        return None
    table = rows(change)
    heads = [str(head) for head in table.loc[table["p_corrected"] < alpha(change), "head"]]
    heads = heads or list(dict.fromkeys(head for top in measurement.facts["top"].values() for head in top))
    kinds = [str(kind) for kind in sides[0].values["kind"].values]
    kinds = [kind for kind in kinds if kind != "subject" or measurement.facts["subjects"]]
    before, after = (_attention(scores, heads, kinds) for scores in sides if scores is not None)
    return compare_scores(before, after, statistics)


def _attention(scores: Scores, heads: Sequence[str], kinds: Sequence[str]) -> Scores:
    """Return attention to these kinds of tokens by these heads, averaged over towers: (query, head, kind)."""
    values = scores.values.sel(attending="all", drop=True).mean("tower").sel(head=list(heads), kind=list(kinds))
    return replace(scores, values=values.transpose(QUERY, "head", "kind"))
