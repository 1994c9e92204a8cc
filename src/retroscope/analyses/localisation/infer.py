"""One story of the instruments: where each says that it happened, and whether transplants agree.

What moved, or what can be read, says where to look. Only putting a part back says whether retrieval needs it, and only
putting it in whether it suffices: every other instrument names the place where its value is largest, and is held
against both.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from retroscope.analyses.localisation.result import (
    AGREES,
    BLOCKS,
    CLAIM_COLUMNS,
    CONTRADICTED,
    MATTERS,
    MOST_COLUMNS,
    PARTS,
    UNDECIDED,
    StoryFindings,
)
from retroscope.analyses.neurons.ablation_words import confirmed
from retroscope.analyses.neurons.result import SHARE
from retroscope.analyses.representations.result import MovedFindings
from retroscope.analyses.transplants.result import GRAFT, REWIND, TransplantFindings
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.luck import chance_of_agreeing, chance_of_one_answer, profile_p
from retroscope.statistics.settings import ComparisonSettings
from retroscope.study.findings import Findings
from retroscope.surgery.transplant import PARTS as PARTS_OF
from retroscope.typesetting.frames import alpha, correction, own_rows, rows
from retroscope.typesetting.subject import AFTER

Place = tuple[str, int, int]  # name of the transplant, first and last block
TOLD = ("effect", "ci_low", "ci_high", "p_corrected")
HIDDEN = "intermediate"  # the neurons that are attributed and ablated unless others are asked for


def make_story(findings: Findings, statistics: ComparisonSettings) -> StoryFindings | None:
    """What the instruments of a comparison say of the same places; None where nothing was transplanted."""
    made = findings.transplants
    if made is None:
        return None
    evidence = pd.DataFrame([*_blocks(findings, made), *_parts(findings, made)])
    if evidence.empty:
        return None
    most, claims = [], []
    neurons = _confirmed(findings)
    for direction in made.differences:
        held = _Held(direction, made, statistics)
        for kind, found in evidence.groupby("kind", sort=False):
            own = [{"kind": str(kind), **claim} for claim in held.claims(found)]
            counted = [claim for claim in own if neurons or claim["instrument"] != "neurons"]
            places = [str(place) for place in dict.fromkeys(found["place"])]
            most.append({"kind": str(kind), **held.most(found), **_luck(places, counted)})
            claims += own
    method = next(iter(made.differences.values()))
    return StoryFindings(
        evidence,
        pd.DataFrame(most, columns=list(MOST_COLUMNS)),
        pd.DataFrame(claims, columns=list(CLAIM_COLUMNS)),
        made.measures[0],
        correction(method),
        made.caveats[0] if made.caveats else "",
        neurons,
    )


def _luck(places: Sequence[str], claims: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many instruments agree, and how probable that many (one at the least) are by luck."""
    agreeing = sum(claim["found"] == AGREES for claim in claims)
    least = max(1, agreeing)
    luck = chance_of_agreeing(len(places), len(claims), least) if claims else float("nan")
    together = chance_of_one_answer(places, [claim["place"] for claim in claims], least) if claims else float("nan")
    return {"agreeing": agreeing, "instruments": len(claims), "luck": luck, "luck_together": together}


def _confirmed(findings: Findings) -> bool | None:
    side = findings.neurons.sides[AFTER] if findings.neurons else None
    return None if side is None or side.ablation is None else confirmed(side.ablation)


def _places(made: TransplantFindings) -> list[Place]:
    """The groups of blocks that were transplanted alone, from the bottom."""
    found = []
    for name in made.headline(next(iter(made.differences)), "block")["transplant"]:
        first, dash, last = str(name).partition(":")[2].partition("-")
        found.append((str(name), int(first), int(last if dash else first)))
    return sorted(found, key=lambda place: place[1])


def _blocks(findings: Findings, made: TransplantFindings) -> Iterator[dict[str, Any]]:
    places = _places(made)
    if len(places) < 2:
        return
    for instrument, values in _by_block(findings, made, places).items():
        for (name, first, last), value in zip(places, values, strict=True):
            yield {"kind": BLOCKS, "instrument": instrument, "place": name, "first": first, "last": last,
                   "value": float(value)}  # fmt: skip


def _by_block(findings: Findings, made: TransplantFindings, places: Sequence[Place]) -> Mapping[str, Sequence[float]]:
    """Of every instrument that was used, a value for every place; only of those whose effect is shown somewhere."""
    found: dict[str, Sequence[float]] = {}
    sign = _sign(made)
    if findings.moved is not None:
        found["weights"] = _weights(findings.moved, places)
        found["representations"] = [-v for v in _rises(_mean_cka(findings.moved), places)]
    own = own_rows(findings)
    if findings.probing is not None and (own["p_corrected"] < alpha(findings.probing)).any():
        found["probes"] = [sign * v for v in _rises(own.set_index("layer")["effect"], places)]
    layers = _layers(findings, made.measures[0])
    if findings.layer_retrieval is not None and (layers["p_corrected"] < alpha(findings.layer_retrieval)).any():
        found["layers"] = [sign * v for v in _rises(layers.set_index("layer")["effect"], places)]
    hidden = findings.neurons.sides[AFTER].neurons.get(HIDDEN) if findings.neurons else None
    if hidden is not None:
        found["neurons"] = _shares(hidden[SHARE], places)
    for direction in made.differences:
        found[direction] = _matters(made, direction, [name for name, _, _ in places])
    return found


def _sign(made: TransplantFindings) -> float:
    """-1 where the retriever loses by the headline, so that what falls most is what points to a loss; else 1."""
    for direction, towards in ((GRAFT, 1.0), (REWIND, -1.0)):
        if direction in made.differences:
            whole = made.headline(direction).set_index("transplant").loc["all", "effect"]
            return -1.0 if towards * whole < 0 else 1.0
    return 1.0


def _layers(findings: Findings, measure: str) -> pd.DataFrame:
    """Retrieval by layer, by the measure of the transplants where it was taken, else by the study's first."""
    if findings.layer_retrieval is None:
        return pd.DataFrame({"p_corrected": []})
    found = rows(findings.layer_retrieval, measure=measure)
    return rows(findings.layer_retrieval, measure=findings.primary_measure) if found.empty else found


def _weights(moved: MovedFindings, places: Sequence[Place]) -> list[float]:
    """Size of the change over size before, of the weights of the blocks, all towers together."""
    inside = pd.concat([f.groups for f in moved.weights.values()])
    inside = inside[~inside["part"].isin(["embedding", "final_norm", "other"])]
    return [_relative(inside[inside["layer"].between(first, last)]) for _, first, last in places]


def _relative(groups: pd.DataFrame) -> float:
    before = float((groups["norm"] ** 2).sum())
    return float(np.sqrt((groups["change"] ** 2).sum() / before)) if before else float("nan")


def _mean_cka(moved: MovedFindings) -> "pd.Series[Any]":
    """By layer, the mean over towers; where no text differs from another at layer 0 (EOS) nothing has moved."""
    found = moved.similarity[moved.similarity["statistic"] == "cka"]
    alike = found["value"].where(found["layer"] > 0, found["value"].fillna(1.0))
    return found.assign(value=alike).groupby("layer")["value"].agg(lambda v: v.mean(skipna=False))


def _rises(by_layer: "pd.Series[Any]", places: Sequence[Place]) -> list[float]:
    """By how much a value grows from below the first block of a place to its last."""
    known = by_layer.to_dict()
    return [known.get(last, np.nan) - known.get(first - 1, np.nan) for _, first, last in places]


def _shares(share: xr.DataArray, places: Sequence[Place]) -> list[float]:
    """The places' part of the attribution of the retriever's hidden units, of the attributed tower."""
    by_layer = share.sum("neuron").to_series().groupby("layer").sum()
    whole = float(by_layer.sum())
    return [float(by_layer[(by_layer.index >= a) & (by_layer.index <= b)].sum()) / whole for _, a, b in places]


def _matters(made: TransplantFindings, direction: str, names: Sequence[str]) -> list[float]:
    """What each place alone does of the whole effect; negative where it does the contrary, NaN where there is none."""
    return [made.share(direction, name)["share"] for name in names]


def _parts(findings: Findings, made: TransplantFindings) -> Iterator[dict[str, Any]]:
    """Weights against transplants, by part of every block."""
    tried = set(made.headline(next(iter(made.differences)))["transplant"])
    measured = [name for name in PARTS_OF if name in tried]
    if findings.moved is None or len(measured) < 2:
        return
    groups = pd.concat([f.groups for f in findings.moved.weights.values()])
    found = {"weights": [_relative(groups[groups["part"].isin(PARTS_OF[name])]) for name in measured]}
    found |= {direction: _matters(made, direction, measured) for direction in made.differences}
    for instrument, values in found.items():
        for name, value in zip(measured, values, strict=True):
            yield {"kind": PARTS, "instrument": instrument, "place": name, "first": 0, "last": made.n_blocks,
                   "value": float(value)}  # fmt: skip


class _Held:
    """The transplants of one direction, against which the instruments are held."""

    def __init__(self, direction: str, made: TransplantFindings, statistics: ComparisonSettings) -> None:
        difference, measure = made.differences[direction], made.measures[0]
        self.direction = direction
        self.made = made
        self.after = difference.after
        self.hybrids = difference.after.values.sel(measure=measure)
        self.table = rows(difference, measure=measure).set_index("transplant")
        self.alpha = alpha(difference)
        self.statistics = replace(statistics, family_per=(), margin=None)
        self.sign = float(np.sign(self.table.loc["all", "effect"]))
        self.explained = bool(self.table.loc["all", "p_corrected"] < self.alpha)

    def most(self, evidence: pd.DataFrame) -> dict[str, Any]:
        """The place that does most alone of what all of them do."""
        alone = self.table.loc[list(dict.fromkeys(evidence["place"]))]
        matter = [name for name in alone.index if self._matters(name)]
        place = str((self.sign * alone.loc[matter or list(alone.index), "effect"]).idxmax())
        control = self.made.control(self.direction, place)
        return {"direction": self.direction, **self._alone(place), **self.made.share(self.direction, place),
                "shown": bool(matter), "explained": self.explained, "sign": self.sign,
                "controlled": not self.made.controls.empty,
                "random": float("nan") if control is None else control["random"]}  # fmt: skip

    def claims(self, evidence: pd.DataFrame) -> Iterator[dict[str, Any]]:
        """What each instrument names, and whether another place is shown to matter more."""
        places = [str(p) for p in dict.fromkeys(evidence["place"])]
        most = self.most(evidence)["place"]
        for name, found in evidence.groupby("instrument", sort=False):
            values = found.set_index("place")["value"]
            if name not in (REWIND, GRAFT) and values.notna().all() and values.max() > 0:
                top = str(values.idxmax())
                rival = self._rival(top, [p for p in places if p != top])
                needed = AGREES if top == most else MATTERS
                told = CONTRADICTED if rival["rival"] else needed if self._matters(top) else UNDECIDED
                rank, p = profile_p(values[places].to_numpy(), self.sign * self.table.loc[places, "effect"].to_numpy())
                yield {"direction": self.direction, "instrument": str(name), **self._alone(top), **rival,
                       "found": told if self.explained else UNDECIDED, "rank": rank, "rank_p": p}  # fmt: skip

    def _alone(self, place: str) -> dict[str, Any]:
        row = self.table.loc[place]
        return {"place": place, "score": row["after"], **{k: row[k] for k in TOLD}}

    def _matters(self, place: str) -> bool:
        row = self.table.loc[place]
        significant = self.sign * row["effect"] > 0 and row["p_corrected"] < self.alpha
        return bool(significant and self.made.beats_random(self.direction, place) is not False)

    def _rival(self, top: str, others: Sequence[str]) -> dict[str, Any]:
        """The place that is shown to do more, by the most; tested against all others, paired by query."""
        theirs = self.hybrids.sel(transplant=list(others))
        mine = xr.zeros_like(theirs) + self.hybrids.sel(transplant=top, drop=True)
        top_alone, others_alone = (replace(self.after, values=values) for values in (mine, theirs))
        found = rows(compare_scores(top_alone, others_alone, self.statistics))
        found = found.set_index("transplant")
        more = found[(self.sign * found["effect"] > 0) & (found["p_corrected"] < self.alpha)]
        if more.empty:
            blank = ("rival_score", "extra", "extra_low", "extra_high", "extra_p")
            return {"rival": "", **dict.fromkeys(blank, float("nan"))}
        name = str((self.sign * more["effect"]).idxmax())
        row = more.loc[name]
        return {"rival": name, "rival_score": row["after"], "extra": row["effect"], "extra_low": row["ci_low"],
                "extra_high": row["ci_high"], "extra_p": row["p_corrected"]}  # fmt: skip
