"""Test which facts can still be read after fine-tuning, check controls, and relate known facts to retrieved ones."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import pandas as pd

from retroscope.analyses.measurement import Measurement
from retroscope.analyses.retention.result import (
    CONSISTENCY,
    FACTS,
    FOUND,
    HEAD,
    LOSSES,
    P1,
    RANDOM,
    REFITTED,
    SHUFFLED,
    VOCABULARY,
    Association,
    FactControl,
    FactShare,
    Retained,
    RetentionFacts,
    RetentionResult,
)
from retroscope.analyses.section import Reading
from retroscope.scores import Scores
from retroscope.statistics import ComparisonSettings, Difference, IntervalSettings, outcome_mean
from retroscope.statistics.association import by_quantile, mantel_haenszel, odds_ratio
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.resampling.clusters import Clusters, clusters_by_row
from retroscope.typesetting.subject import AFTER, BEFORE

PARTS = 3  # thirds of the facts, by popularity and by shared words


def infer(measurements: Sequence[Measurement], reading: Reading) -> RetentionResult | None:
    """Test how many facts can be read before and after fine-tuning, with controls.

    Return None unless both models were measured.
    """
    scores = measurements[0].scores if measurements else {}
    if BEFORE not in scores or AFTER not in scores:
        return None
    measurement = measurements[0]
    settings = replace(reading.subject.paired_statistics, family_per=("readout", "measure"))
    facts = measurement.frames[FACTS].set_index("fact")
    in_vocabulary = [measurement.scores.get(f"{side}/{VOCABULARY}") for side in (BEFORE, AFTER)]
    last = int(scores[AFTER].values["layer"].values[-1])
    cells = _Cells(scores, facts, last, settings.intervals)
    consistency = measurement.frames[CONSISTENCY].groupby(["side", "readout"])["consistency"]
    return RetentionResult(
        effect=compare_scores(scores[BEFORE], scores[AFTER], settings),
        vocabulary=_vocabulary(in_vocabulary, settings),
        last=last,
        retained=_retained(cells),
        controls=tuple(_controls(cells, measurement.facts["unknowable"])),
        losses=measurement.frames[LOSSES],
        consistency=consistency.agg(["mean", "size"]).reset_index(),
        associations=tuple(_associations(cells, measurement)),
        strata=pd.DataFrame(_strata(cells)),
        about=cast(RetentionFacts, measurement.facts),
    )


def _vocabulary(sides: Sequence[Scores | None], settings: ComparisonSettings) -> Difference | None:
    """Compare the reciprocal ranks of answers among all tokens, before and after. Return None if not measured."""
    before, after = sides
    if before is None or after is None:
        return None
    return compare_scores(before, after, replace(settings, family_per=()))


class _Cells:
    """P@1 of every fact at the last layer by model and read-out, with the stratum and cluster of the fact."""

    def __init__(self, scores: Mapping[str, Scores], facts: pd.DataFrame, last: int, level: IntervalSettings) -> None:
        self.scores, self.facts, self.last, self.settings = scores, facts, last, level
        self.sides = [side for side in (BEFORE, AFTER, RANDOM) if side in scores]
        self.ids = scores[BEFORE].query_ids
        self.clusters = clusters_by_row(scores[BEFORE])
        self.strata = facts.loc[self.ids, "stratum"].to_numpy()

    def hits(self, side: str, readout: str, measure: str = P1) -> np.ndarray:
        """Return the values of a measure at the last layer, one for each fact, in the order of `ids`."""
        values = self.scores[side].select(layer=self.last, readout=readout, measure=measure).values
        hits: np.ndarray = values.sel(query=self.ids).values
        return hits

    def readouts(self, side: str) -> list[str]:
        return [str(name) for name in self.scores[side].values["readout"].values]

    def mean(self, values: np.ndarray, kept: np.ndarray) -> tuple[float, float, float, int]:
        """Return mean, low, high and number of the values that `kept` selects; NaN and 0 if it selects none."""
        if not kept.any():
            return math.nan, math.nan, math.nan, 0
        estimate = outcome_mean(values[kept][:, None], self.settings, Clusters(self.clusters.only(kept).text))
        return float(estimate.mean[0]), float(estimate.low[0]), float(estimate.high[0]), int(estimate.n[0])

    def frequent(self, kept: np.ndarray) -> float:
        """Return the P@1 of always answering a relation's most frequent object, for the facts that `kept` selects."""
        return float(self.facts.loc[self.ids, "most_frequent"].to_numpy()[kept].mean())


def _retained(cells: _Cells) -> dict[tuple[str, str], Retained]:
    """Return (read-out, stratum) -> shares of the facts that fine-tuning kept and gained.

    A fact whose answer is tied for the first rank counts as not read. The stratum "" has all facts.
    """
    every = np.ones(len(cells.ids), dtype=bool)
    groups = {"": every, **{str(name): cells.strata == name for name in np.unique(cells.strata) if name}}
    retained = {}
    for readout in cells.readouts(AFTER):
        before, after = (cells.hits(side, readout) == 1 for side in (BEFORE, AFTER))
        for stratum, kept in groups.items():
            parts = [FactShare(*cells.mean(after.astype(float), kept & part)) for part in (before, ~before)]
            retained[readout, stratum] = Retained(*parts)
    return retained


def _controls(cells: _Cells, unknowable: Sequence[str]) -> Iterator[FactControl]:
    every = np.ones(len(cells.ids), dtype=bool)
    for side in (BEFORE, AFTER):
        for readout in cells.readouts(side):
            values = cells.hits(side, readout, SHUFFLED)
            if np.isfinite(values).any():
                mean = cells.mean(values, every)
                yield FactControl("other subject", side, readout, *mean[:3], cells.frequent(every), mean[3])
            unknown_facts = np.isin(cells.strata, list(unknowable))
            if unknown_facts.any():
                mean = cells.mean(cells.hits(side, readout), unknown_facts)
                yield FactControl(
                    "facts that cannot be known", side, readout, *mean[:3], cells.frequent(unknown_facts), mean[3]
                )
    if RANDOM in cells.sides:
        mean = cells.mean(cells.hits(RANDOM, REFITTED), every)
        yield FactControl("random weights", RANDOM, REFITTED, *mean[:3], cells.frequent(every), mean[3])


def _strata(cells: _Cells) -> Iterator[dict[str, object]]:
    names = [str(name) for name in np.unique(cells.strata)]
    for stratum in names if len(names) > 1 else ():
        for side in cells.sides:
            for readout in cells.readouts(side):
                mean, low, high, n = cells.mean(cells.hits(side, readout), cells.strata == stratum)
                yield {"stratum": stratum or "(none)", "side": side, "readout": readout, "mean": mean, "ci_low": low,
                       "ci_high": high, "n": n}  # fmt: skip


def _associations(cells: _Cells, measurement: Measurement) -> Iterator[Association]:
    """Yield odds ratios between knowing a fact (backbone) and finding its passage, by model, overall and by stratum.

    The odds ratio `within` compares facts of the same stratum. Otherwise, a difference between strata could make it
    seem that known facts are found more often.
    """
    if FOUND not in measurement.frames:
        return
    searches = measurement.frames[FOUND].set_index("fact").reindex(cells.ids)
    asked = searches["shared"].notna().to_numpy()
    readout = HEAD if HEAD in cells.readouts(BEFORE) else REFITTED
    known = cells.hits(BEFORE, readout) == 1
    names = [str(name) for name in np.unique(cells.strata[asked])]
    groups = {"": asked, **{name: asked & (cells.strata == name) for name in names if len(names) > 1}}
    for stratum, kept in groups.items():
        popularity, shared = (by_quantile(searches[name].to_numpy()[kept], PARTS) for name in ("popularity", "shared"))
        _, own = np.unique(cells.strata[kept], return_inverse=True)
        alike = (own * PARTS + popularity) * PARTS + shared
        for side in (BEFORE, AFTER):
            hit = searches[f"found/{side}"].to_numpy() > 0
            outcomes = pd.DataFrame({"known": known, "found": hit, "cluster": cells.clusters.text})[kept]
            yield _association((side, stratum), outcomes, alike, cells.settings.level)


def _association(names: tuple[str, str], outcomes: pd.DataFrame, alike: np.ndarray, level: float) -> Association:
    known, hit, clusters = (outcomes[column].to_numpy() for column in ("known", "found", "cluster"))
    return Association(
        side=names[0],
        stratum=names[1],
        known=_share(hit[known]),
        unknown=_share(hit[~known]),
        n_known=int(known.sum()),
        crude=odds_ratio(known, hit, clusters, level),
        within=mantel_haenszel(known, hit, alike, clusters, level),
    )


def _share(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
