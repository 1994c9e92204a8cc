"""Attention heads, patched activations and erased directions: a part of the model that retrieval uses, or any part.

What a part does to each query is made up: an effect of its own, alike for all queries, and queries vary. What is tried
is the report's own inference (`infer`), from these numbers on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from proof.made import reading, scores
from proof.proof import Proof, rate, short
from retroscope.analyses.heads.infer import head_result
from retroscope.analyses.heads.result import HeadResult, SetEffect
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.patching.infer import patching_result
from retroscope.attribution.patching.donors import OWN_DONORS
from retroscope.scores import Scores
from retroscope.statistics import ComparisonSettings, compare_scores
from retroscope.typesetting.frames import rows
from retroscope.typesetting.subject import AFTER, BEFORE, MODEL

DRAWN, TESTED = 96, 48  # queries: of whom the first half chooses the top heads
ALPHA, MEASURE = 0.05, "RR@10"
FEW = ComparisonSettings(resamples=200)
TOP, CONTROLS, RANDOM = ("1.0", "1.1", "2.0", "2.1"), {"1": ["1.2", "1.3", "1.4"], "2": ["2.2", "2.3", "2.4"]}, 5
HEADS = (*TOP, *(head for some in CONTROLS.values() for head in some))
ALIKE, EXTRA = -0.2, -0.3  # of any head, and of one that carries the margin, in its standard deviations
VARIED = 0.1  # standard deviation over heads, where they differ
OF_QUERY = 0.3  # of the effect over queries
SCALE = 10.0  # of the scores of the model after
SETS = 0.03  # standard deviation of what a set of heads costs, over sets
COMPONENTS = 12
WHOLE, ANY, CARRIED = 0.8, 0.1, 0.3  # margin lost; recovered by any change; recovered beyond that by one component


def proofs(studies: int) -> list[Proof]:
    """Return the rows of single heads, of sets of heads, of their change, and of patched components."""
    some = max(1, studies // 4)
    null = [heads(seed, 0.0) for seed in range(max(1, 3 * studies // 4))]
    planted = [heads(seed, EXTRA) for seed in range(studies, studies + some)]
    varied = [alone(seed, VARIED) for seed in range(some)]
    return [carrying(null, planted, varied), together(null, planted), changed(null, planted), patched(studies)]


@dataclass(frozen=True, eq=False)
class Heads:
    """Two models' heads, tested; and their changes in units of the scores.

    Attributes:
        found: what the report has.
        plain: rows of the changes of the heads' effects that are not divided by either model's spread.
    """

    found: HeadResult
    plain: pd.DataFrame

    @property
    def table(self) -> pd.DataFrame:
        """Return a row for each head of the model after."""
        return self.found.sides[AFTER].table.set_index("head")

    @property
    def top_set(self) -> SetEffect:
        """Return what retrieval loses with all top heads of the model after fixed."""
        return self.found.sides[AFTER].sets[0]


def carrying(null: Sequence[Heads], planted: Sequence[Heads], varied: Sequence[bool]) -> Proof:
    """Return the row of a head that carries the margin; that ablating it does harm, as any ablation does, fails."""
    own = rate(bool(one.table["carries"].any()) for one in null)
    harm = float(np.mean([harms(one.table) for one in null]))
    found = [one.table.loc[TOP[0]] for one in planted]
    return Proof(
        instrument="Heads: a head carries the margin, and more than the mean of random heads of its layer",
        control="A head with the same effect as the other heads of its layer",
        reads=f"The statement is made in {short(own.value)} of the studies; without the comparison with other heads, "
        f"it would be made in {short(harm)}. If the effects of heads vary by {VARIED:g} SD, one of {len(TOP)} heads "
        f"without a special effect exceeds the mean of three others in {short(float(np.mean(varied)))}",
        failed=harm > 0.5 > own.value,
        false=own,
        power=rate(bool(row["carries"]) for row in found),
        planted=f"{EXTRA:+.1f} SD beyond the other heads, {TESTED} queries",
        coverage=rate(
            one.table.loc[head, "beyond_low"] <= truth <= one.table.loc[head, "beyond_high"]
            for some, first in ((null, 0.0), (planted, EXTRA))
            for one in some
            for head, truth in zip(TOP, (first, 0.0, 0.0, 0.0), strict=True)
        ),
        held_against="a head that was built to copy a word (tests/analyses/test_heads_analysis.py)",
    )


def harms(table: pd.DataFrame) -> bool:
    """Return whether ablating any top head does significant harm."""
    top = table.loc[list(TOP)]
    return bool(((top["effect"] < 0) & (top["p_corrected"] < ALPHA)).any())


def together(null: Sequence[Heads], planted: Sequence[Heads]) -> Proof:
    """Return the row of retrieval with all top heads fixed; the test over queries alone fails."""
    sets = [one.top_set for one in null]
    own = rate(one.p < ALPHA and one.beyond < 0 for one in sets)
    by_queries = float(np.mean([one.p_queries < ALPHA and one.beyond < 0 for one in sets]))
    return Proof(
        instrument="Heads: retrieval needs the top heads more than random sets of heads",
        control="A test over queries alone, for a set of heads that is another random set",
        reads=f"The test over queries reports a difference in {short(by_queries)} of the studies; the test over "
        f"queries and draws, in {short(own.value)}",
        failed=by_queries > 1.5 * own.value,
        false=own,
        power=rate(one.top_set.p < ALPHA and one.top_set.beyond < 0 for one in planted),
        planted=f"a loss of {short(-EXTRA)}, {TESTED} queries, {RANDOM} draws",
        coverage=None,
        held_against="a head that was built to copy a word (tests/analyses/test_heads_analysis.py)",
    )


def changed(null: Sequence[Heads], planted: Sequence[Heads]) -> Proof:
    """Return the row of the change of a head's effect; changes in units of either model's scores fail."""
    tables = [(rows(one.found.change), truth) for some, truth in ((null, 0.0), (planted, EXTRA)) for one in some]
    found = [table.iloc[0] for table, truth in tables if truth]
    own = rate(bool((table["p_corrected"] < ALPHA).any()) for table, truth in tables if not truth)
    plain = float(np.mean([bool((one.plain["p_corrected"] < ALPHA).any()) for one in null]))
    return Proof(
        instrument="Heads: fine-tuning changed the effect of a head on the margin",
        control=f"Changes in the units of the scores, if the scores of one model are {SCALE:g} times those of the "
        "other",
        reads=f"For models that differ only in scale, a change is reported in {short(plain)} of the studies; in "
        f"standard deviations, in {short(own.value)}",
        failed=plain > 0.5 > own.value,
        false=own,
        power=rate(row["p_corrected"] < ALPHA for row in found),
        planted=f"{EXTRA:+.1f} SD at one of {len(HEADS)} heads, {TESTED} queries",
        coverage=rate(
            low <= (truth if row == 0 else 0) <= high
            for table, truth in tables
            for row, (low, high) in enumerate(zip(table["ci_low"], table["ci_high"], strict=True))
        ),
        held_against="a head that was built to copy a word (tests/analyses/test_heads_analysis.py)",
    )


def heads(seed: int, extra: float) -> Heads:
    """Return two models, after which the first top head and the top set have so much more effect."""
    random = np.random.default_rng(seed)
    sides = {BEFORE: of_model(random, 0.0), AFTER: of_model(random, extra, scale=SCALE)}
    plain = compare_scores(sides[BEFORE]["exact"], sides[AFTER]["exact"], FEW)
    return Heads(head_result(of_heads(sides), (BEFORE, AFTER), reading(FEW)), rows(plain))


def alone(seed: int, varied: float) -> bool:
    """Return whether some top head is claimed to carry the margin, of heads that differ by so much, all alike."""
    sides = {MODEL: of_model(np.random.default_rng(seed), 0.0, varied)}
    return bool(head_result(of_heads(sides), (MODEL,), reading(FEW)).sides[MODEL].carrying.size)


def of_model(random: np.random.Generator, extra: float, varied: float = 0.0, scale: float = 1.0) -> dict[str, Scores]:
    """Return the scores of one model whose margin has a standard deviation of `scale`."""
    effects = ALIKE + varied * random.standard_normal(len(HEADS)) + extra * np.eye(len(HEADS))[0]
    exact = effects + OF_QUERY * random.standard_normal((TESTED, len(HEADS)))
    sets = ["intact", "top", *(f"random {k}" for k in range(RANDOM)), *TOP]
    costs = np.r_[0, SETS * random.standard_normal(len(sets) - 1)] - extra * (np.array(sets) == "top")
    found = 0.6 + 0.2 * random.standard_normal((TESTED, 1)) - costs
    found += 0.05 * random.standard_normal(found.shape)
    return {
        "margin": scores(scale * random.standard_normal(DRAWN)),
        "estimates": scores(np.zeros((DRAWN, 2, 5)), layer=[1, 2], head=range(5)),
        "exact": scores(scale * exact, head=HEADS),
        "retrieval": scores(found[..., None], {"sets": dict.fromkeys(sets, TOP)}, set=sets, measure=[MEASURE]),
    }


def of_heads(sides: Mapping[str, Mapping[str, Scores]]) -> Measurement:
    """Return a measurement of these models' scores, in which every model has the same top heads."""
    named = {f"{side}/{name}": values for side, measured in sides.items() for name, values in measured.items()}
    facts = {"towers": ["query"], "notes": [], "top": dict.fromkeys(sides, TOP), "controls": CONTROLS,
             "sample": [], "eager": {}, "subjects": False}  # fmt: skip
    return Measurement(scores=named, facts=facts)


def patched(studies: int) -> Proof:
    """Return the row of a component that recovers the margin; recovering anything at all fails."""
    null = [patches(seed, 0.0) for seed in range(max(1, 3 * studies // 4))]
    planted = [patches(seed, CARRIED).iloc[0] for seed in range(studies, studies + max(1, studies // 4))]
    own = rate(bool(table["carries"].any()) for table in null)
    anything = float(np.mean([bool((table["share_low"] > 0).any()) for table in null]))
    truth = (ANY + CARRIED) / WHOLE
    return Proof(
        instrument="Patching: a component carries the corrupted information, and more than a random change of equal "
        "size",
        control="The share of the margin that is recovered, without a random change for comparison",
        reads=f"If every change recovers the same share, this share is above 0 in {short(anything)} of the studies; "
        f"compared with a random change, in {short(own.value)}",
        failed=anything > 0.5 > own.value,
        false=own,
        power=rate(bool(row["carries"]) for row in planted),
        planted=f"a share of {short(CARRIED / WHOLE)} beyond that of a random change, {TESTED} queries, one of "
        f"{COMPONENTS} components",
        coverage=rate(
            [
                *(row["share_low"] <= truth <= row["share_high"] for row in planted),
                *(
                    low <= ANY / WHOLE <= high
                    for one in null
                    for low, high in zip(one["share_low"], one["share_high"], strict=True)
                ),
            ]
        ),
        held_against="a head that was built to copy a word (tests/analyses/test_patching_analysis.py)",
    )


def patches(seed: int, carried: float) -> pd.DataFrame:
    """Return the report's row of every component, of which the first recovers so much more than a random change."""
    random = np.random.default_rng(seed)
    total = WHOLE + 0.5 * random.standard_normal((TESTED, 1))
    names = [f"head {1 + k // 4}.{k % 4}" for k in range(COMPONENTS)]
    own = ANY + carried * np.eye(COMPONENTS)[0] + 0.2 * (total - WHOLE)
    recovered = np.stack([own + np.zeros_like(own), np.full_like(own, ANY)], axis=1)
    recovered += OF_QUERY * random.standard_normal(recovered.shape)
    labels = {"corruption": ["swapped"], "tokens": ["changed"], "donor": OWN_DONORS, "component": names}
    measured = {
        f"{MODEL}/total": scores(total, corruption=["swapped"]),
        f"{MODEL}/recovered": scores(recovered[:, None, None], **labels),
    }
    return patching_result(Measurement(scores=measured), (MODEL,), reading(FEW)).sides[MODEL].table
