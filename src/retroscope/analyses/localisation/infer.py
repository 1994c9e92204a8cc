"""Find the block at which each instrument, such as CKA, has its largest value, and test whether transplants agree.

The change of weights or vectors, or the accuracy of a probe, only suggests where to look. Restoring a part tests
whether retrieval needs the change of this part, and grafting tests whether the change is sufficient. Every other
instrument names the place (block, or part of all blocks) where its value is largest. This place is compared with both
kinds of transplants.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from retroscope.analyses.localisation.evidence import evidence_of, neurons_confirmed
from retroscope.analyses.localisation.result import (
    AGREES,
    CLAIM_COLUMNS,
    CONTRADICTED,
    MATTERS,
    MOST_COLUMNS,
    UNDECIDED,
    LocalisationResult,
)
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.section import Reading
from retroscope.analyses.transplants.result import TransplantEffects, TransplantResult
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.settings import ComparisonSettings
from retroscope.statistics.testing.luck import chance_of_agreeing, chance_of_one_answer, profile_p
from retroscope.surgery.transplant import DIRECTIONS
from retroscope.typesetting.frames import alpha, correction, rows

EFFECT = ("effect", "ci_low", "ci_high", "p_corrected")


def infer(measurements: Sequence[Measurement], reading: Reading) -> LocalisationResult | None:
    """Compare measurements that point to a block or part, such as CKA, with transplants of the same blocks or parts.

    Return None if nothing was transplanted, or too little for a comparison (see `evidence_of`).
    """
    transplants = reading.result("transplants", TransplantResult)
    if transplants is None:
        return None
    effects = transplants.first
    evidence = evidence_of(reading, effects)
    if evidence.empty:
        return None
    confirmed = neurons_confirmed(reading)
    most, claims = [], []
    for direction in effects.differences:
        alone = _Transplants(direction, effects, reading.subject.paired_statistics)
        for kind, of_kind in evidence.groupby("kind", sort=False):
            own = [{"kind": str(kind), **claim} for claim in alone.claims(of_kind)]
            counted = [claim for claim in own if confirmed or claim["instrument"] != "neurons"]
            places = [str(place) for place in dict.fromkeys(of_kind["place"])]
            most.append({"kind": str(kind), **alone.most(of_kind), **_luck(places, counted)})
            claims += own
    return LocalisationResult(
        evidence,
        pd.DataFrame(most, columns=list(MOST_COLUMNS)),
        pd.DataFrame(claims, columns=list(CLAIM_COLUMNS)),
        effects.measures[0],
        correction(next(iter(effects.differences.values()))),
        effects.queries,
        effects.passages,
        confirmed,
    )


def _luck(places: Sequence[str], claims: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return how many instruments agree with the transplants, and how probable it is that as many agree by chance."""
    agreeing = sum(claim["agreement"] == AGREES for claim in claims)
    least = max(1, agreeing)
    luck = chance_of_agreeing(len(places), len(claims), least) if claims else float("nan")
    together = chance_of_one_answer(places, [claim["place"] for claim in claims], least) if claims else float("nan")
    return {"agreeing": agreeing, "instruments": len(claims), "luck": luck, "luck_together": together}


class _Transplants:
    """The transplants of one direction ("restored" or "grafted"), with which the instruments are compared."""

    def __init__(self, direction: str, effects: TransplantEffects, statistics: ComparisonSettings) -> None:
        difference, measure = effects.differences[direction], effects.measures[0]
        self.direction = direction
        self.effects = effects
        self.after = difference.after
        self.hybrids = difference.after.values.sel(measure=measure)
        self.table = rows(difference, measure=measure).set_index("transplant")
        self.alpha = alpha(difference)
        self.statistics = replace(statistics, family_per=(), margin=None)
        self.sign = float(np.sign(self.table.loc["all", "effect"]))
        self.explained = bool(self.table.loc["all", "p_corrected"] < self.alpha)

    def most(self, evidence: pd.DataFrame) -> dict[str, Any]:
        """Return the block or part with the largest significant effect or, without any, with the largest effect."""
        alone = self.table.loc[list(dict.fromkeys(evidence["place"]))]
        matter = [name for name in alone.index if self._matters(name)]
        place = str((self.sign * alone.loc[matter or list(alone.index), "effect"]).idxmax())
        control = self.effects.control(self.direction, place)
        return {"direction": self.direction, **self._alone(place), **self.effects.share(self.direction, place),
                "significant": bool(matter), "explained": self.explained, "sign": self.sign,
                "controlled": not self.effects.controls.empty,
                "random": float("nan") if control is None else control["random"]}  # fmt: skip

    def claims(self, evidence: pd.DataFrame) -> Iterator[dict[str, Any]]:
        """Yield the block or part where each measurement is largest, and whether transplants agree with it."""
        places = [str(p) for p in dict.fromkeys(evidence["place"])]
        most = self.most(evidence)["place"]
        for name, own in evidence.groupby("instrument", sort=False):
            values = own.set_index("place")["value"]
            if name not in DIRECTIONS and values.notna().all() and values.max() > 0:
                top = str(values.idxmax())
                rival = self._rival(top, [p for p in places if p != top])
                needed = AGREES if top == most else MATTERS
                agreement = CONTRADICTED if rival["rival"] else needed if self._matters(top) else UNDECIDED
                rank, p = profile_p(values[places].to_numpy(), self.sign * self.table.loc[places, "effect"].to_numpy())
                yield {"direction": self.direction, "instrument": str(name), **self._alone(top), **rival,
                       "agreement": agreement if self.explained else UNDECIDED, "rank": rank, "rank_p": p}  # fmt: skip

    def _alone(self, place: str) -> dict[str, Any]:
        row = self.table.loc[place]
        return {"place": place, "score": row["after"], **{k: row[k] for k in EFFECT}}

    def _matters(self, place: str) -> bool:
        row = self.table.loc[place]
        significant = self.sign * row["effect"] > 0 and row["p_corrected"] < self.alpha
        return bool(significant and self.effects.beats_random(self.direction, place) is not False)

    def _rival(self, top: str, others: Sequence[str]) -> dict[str, Any]:
        """Return the block or part with the largest effect of those with a significantly larger effect than `top`."""
        theirs = self.hybrids.sel(transplant=list(others))
        mine = xr.zeros_like(theirs) + self.hybrids.sel(transplant=top, drop=True)
        top_alone, others_alone = (replace(self.after, values=values) for values in (mine, theirs))
        table = rows(compare_scores(top_alone, others_alone, self.statistics)).set_index("transplant")
        more = table[(self.sign * table["effect"] > 0) & (table["p_corrected"] < self.alpha)]
        if more.empty:
            blank = ("rival_score", "extra", "extra_low", "extra_high", "extra_p")
            return {"rival": "", **dict.fromkeys(blank, float("nan"))}
        name = str((self.sign * more["effect"]).idxmax())
        row = more.loc[name]
        return {"rival": name, "rival_score": row["after"], "extra": row["effect"], "extra_low": row["ci_low"],
                "extra_high": row["ci_high"], "extra_p": row["p_corrected"]}  # fmt: skip
