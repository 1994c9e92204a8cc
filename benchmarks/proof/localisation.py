"""Localisation: the block that transplants need, and instruments that point to it, by luck or not.

Hybrids' scores are made up: every block, restored alone, has an effect of its own, alike for all queries, and queries
vary. Four instruments give each block a value. All of it goes through the report's own localisation (`infer`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import xarray as xr

from proof.proof import Proof, rate, short
from retroscope.analyses.layers.result import LayerEffects, LayerResult
from retroscope.analyses.localisation.infer import infer
from retroscope.analyses.localisation.result import CONTRADICTED, LocalisationResult
from retroscope.analyses.probes.result import ProbesResult
from retroscope.analyses.representations.result import CollectionDrift, RepresentationResult
from retroscope.analyses.section import Reading
from retroscope.analyses.transplants.infer import TransplantScores, effects_of
from retroscope.analyses.transplants.result import TransplantEffects, TransplantResult
from retroscope.analyses.weights.result import WeightResult
from retroscope.drift.result import (
    CHANGED,
    GEOMETRY_COLUMNS,
    LAYER_MAP_COLUMNS,
    SIMILARITY_COLUMNS,
    RepresentationDrift,
    WeightDrift,
)
from retroscope.scores import Scores
from retroscope.statistics import ComparisonSettings, Difference, compare_scores
from retroscope.typesetting.subject import CollectionFacts, Model, Subject

QUERIES, ALPHA, MEASURE = 60, 0.05, "RR@10"
RATES = 0.15  # standard deviation of a query's score with a hybrid
WHOLE = -0.4
NOTHING = (0.0, 0.0, 0.0, 0.0, 0.0)  # others compensate for every block
GRADED = (-0.02, -0.06, -0.2, -0.1, -0.04)
TWO = (0.0, -0.2, 0.0, -0.2, 0.0)
NEEDED = f"block:{1 + int(np.argmin(GRADED))}"
MANY = tuple(-0.2 if block == 9 else 0.0 for block in range(24))
INSTRUMENTS = ("weights", "representations", "probes", "layers")
FEW = ComparisonSettings(resamples=200)
Values = np.ndarray  # (instrument, block)
Instruments = Callable[[np.random.Generator, Sequence[float]], Values]


def proofs(studies: int) -> list[Proof]:
    """Return the rows of the block that is needed, and of agreement, contradiction and ranks of the instruments."""
    by_luck = [localised(seed, GRADED, unrelated) for seed in range(studies)]
    knowing = [localised(seed, GRADED, related) for seed in range(studies, studies + max(1, studies // 4))]
    return [
        needed([localised(seed, NOTHING, unrelated, 2) for seed in range(studies)], by_luck),
        agreement(by_luck, knowing),
        together(studies),
        contradiction([localised(seed, TWO, names(4), 2) for seed in range(studies)], by_luck),
        ranks(by_luck, knowing),
    ]


def needed(nothing: Sequence[LocalisationResult], planted: Sequence[LocalisationResult]) -> Proof:
    """Return the row of the block that does most alone; the largest of all, taken by itself, is its control."""
    own = rate(bool(most(one)["significant"]) for one in nothing)
    alone = float(np.mean([float(most(one)["ci_high"]) < 0 for one in nothing]))
    localised_blocks = [most(one) for one in planted]
    return Proof(
        instrument="Localisation: retrieval needs this block",
        control="The interval of the block with the largest loss, without correction for the number of blocks",
        reads=f"Where no block matters alone, an effect is reported in {short(alone)} of the studies; with the "
        f"correction, in {short(own.value)}",
        failed=alone > 1.5 * own.value,
        false=own,
        power=rate(bool(row["significant"]) and row["place"] == NEEDED for row in localised_blocks),
        planted=f"a loss of {short(-min(GRADED))}, the next largest {short(-GRADED[3])}, {QUERIES} queries",
        coverage=rate(
            row["ci_low"] <= min(GRADED) <= row["ci_high"] for row in localised_blocks if row["place"] == NEEDED
        ),
        held_against="every hybrid equals one assembled by hand, to 1e-5 (tests/surgery/test_transplant.py)",
    )


def agreement(by_luck: Sequence[LocalisationResult], knowing: Sequence[LocalisationResult]) -> Proof:
    """Return the row of agreement beyond luck; agreement counted without the null is its control."""
    counted = float(np.mean([int(most(one)["agreeing"]) > 0 for one in by_luck]))
    blocks, many = len(GRADED), len(INSTRUMENTS)
    return Proof(
        instrument="Localisation: more instruments name the block that retrieval needs than expected by chance",
        control="The number of instruments that agree, without its probability by chance",
        reads=f"At least one of {many} uninformative instruments agrees in {short(counted)} of the studies",
        failed=counted > 2 * ALPHA,
        false=rate(beyond(one, "luck") for one in by_luck),
        power=rate(beyond(one, "luck") for one in knowing),
        planted=f"{many} instruments that measure the effects with noise, {blocks} blocks",
        coverage=None,
        held_against=f"the closed form of this probability, {short(1 - (1 - 1 / blocks) ** many)}: {short(counted)} "
        "in the simulation",
    )


def together(studies: int) -> Proof:
    """Return the row of instruments that are copies of one another, for which luck is not independent."""
    few = [localised(seed, GRADED, copies) for seed in range(max(1, studies // 4))]
    many = [localised(seed, MANY, copies, 2) for seed in range(studies)]
    knowing = [localised(seed, MANY, names(10), 2) for seed in range(max(1, studies // 8))]
    apart, own = (float(np.mean([beyond(one, luck) for one in few])) for luck in ("luck", "luck_together"))
    return Proof(
        instrument="Localisation: the same, for dependent instruments (the transplants' block drawn at random)",
        control="The probability for independent instruments, applied to four copies of one instrument and "
        f"{len(GRADED)} blocks",
        reads=f"Agreement beyond chance is reported in {short(apart)} of the studies; with the transplants' block "
        f"drawn at random, in {short(own)}",
        failed=apart > 2 * ALPHA > own,
        false=rate(beyond(one, "luck_together") for one in many),
        power=rate(beyond(one, "luck_together") for one in knowing),
        planted=f"all instruments name the block, of {len(MANY)} blocks; with fewer than 21 blocks no p can be below "
        ".05",
        coverage=None,
        held_against=f"its smallest possible value, 1 / blocks = {short(1 / len(MANY))}",
    )


def contradiction(two: Sequence[LocalisationResult], planted: Sequence[LocalisationResult]) -> Proof:
    """Return the row of contradicted instruments; the block with the larger mean is its control."""
    named = [claims(one).set_index("instrument").loc["weights"] for one in two]
    wrong = [elsewhere.iloc[0] for one in planted if len(elsewhere := claims(one).query("place != @NEEDED"))]
    by_mean = float(np.mean([most(one)["place"] != "block:4" for one in two]))
    own = rate(row["agreement"] == CONTRADICTED for row in named)
    return Proof(
        instrument="Localisation: an instrument is contradicted, because another block has a larger effect",
        control="The block with the largest mean loss, of two blocks with equal effects",
        reads=f"The block is another than the named block in {short(by_mean)} of the studies; its loss is "
        f"significantly larger in {short(own.value)}",
        failed=by_mean > 2 * ALPHA > own.value,
        false=own,
        power=rate(row["agreement"] == CONTRADICTED for row in wrong),
        planted=f"an instrument does not name the block with a loss of {short(-min(GRADED))}, {QUERIES} queries",
        coverage=None,
        held_against="paired differences by hand (tests/analyses/test_localisation.py)",
    )


def ranks(by_luck: Sequence[LocalisationResult], knowing: Sequence[LocalisationResult]) -> Proof:
    """Return the row of the rank correlation with the transplants; a large correlation alone is its control."""
    # One instrument of each study: those of one study share its effects, and are not independent.
    loose, known = (pd.DataFrame([claims(one).iloc[0] for one in studies]) for studies in (by_luck, knowing))
    large = float((loose["rank"] > 0.5).mean())
    return Proof(
        instrument="Localisation: the instrument's values and the effects of the transplants are rank-correlated "
        "over blocks (permutation p)",
        control="A rank correlation above .5, without its p",
        reads=f"{short(large)} of the uninformative instruments have such a correlation",
        failed=large > 2 * ALPHA,
        false=rate(loose["rank_p"] < ALPHA),
        power=rate(known["rank_p"] < ALPHA),
        planted=f"instruments that measure the effects with noise, {len(GRADED)} blocks",
        coverage=None,
        held_against="all permutations of up to 7 blocks (tests/statistics/test_luck.py)",
    )


def beyond(localised_blocks: LocalisationResult, luck: str) -> bool:
    """Return whether instruments agree, and so many with a probability by luck below the level."""
    row = most(localised_blocks)
    return bool(row["agreeing"] > 0 and row[luck] < ALPHA)


def most(localised_blocks: LocalisationResult) -> "pd.Series":
    """Return what is said of the block that does most."""
    return localised_blocks.most.iloc[0]


def claims(localised_blocks: LocalisationResult) -> pd.DataFrame:
    """Return a row an instrument."""
    return localised_blocks.claims


def unrelated(random: np.random.Generator, effects: Sequence[float]) -> Values:
    """Return values of instruments that know nothing of the effects, nor of one another."""
    return random.random((len(INSTRUMENTS), len(effects)))


def related(random: np.random.Generator, effects: Sequence[float]) -> Values:
    """Return values of instruments that see the effects, each through noise of its own."""
    losses = -np.asarray(effects)
    return np.maximum(losses + 0.05 * random.standard_normal((len(INSTRUMENTS), len(losses))), 1e-3)


def copies(random: np.random.Generator, effects: Sequence[float]) -> Values:
    """Return values of instruments that know nothing and are copies of one another."""
    return np.repeat(random.random((1, len(effects))), len(INSTRUMENTS), axis=0)


def names(block: int) -> Instruments:
    """Return instruments that all name one block."""

    def values(random: np.random.Generator, effects: Sequence[float]) -> Values:
        localised_blocks = 0.5 * random.random((len(INSTRUMENTS), len(effects)))
        localised_blocks[:, block - 1] = 1
        return localised_blocks

    return values


def localised(seed: int, effects: Sequence[float], instruments: Instruments, used: int = 4) -> LocalisationResult:
    """Return the localisation of a study in which the blocks, restored alone, have these effects.

    Of the instruments the first two, or all four, are used.
    """
    random = np.random.default_rng(seed)
    weights, apart, read, searched = instruments(random, effects)
    probing, layers = significant(len(effects))
    results = {
        "transplants": TransplantResult((transplants(random, effects),)),
        "weights": WeightResult({"query and passage": changed(weights)}),
        "representations": RepresentationResult((CollectionDrift("made up", diverging(apart)),)),
        "probes": ProbesResult("dot", rising(probing, read)) if used > 2 else None,
        "layers": LayerResult((LayerEffects("made up", rising(layers, searched)),)) if used > 2 else None,
    }
    model = Model("made up", "dot", ())
    subject = Subject("made up", {"before": model, "after": model}, (CollectionFacts("made up", "", {}),),
                      measures=(MEASURE,), statistics=FEW)  # fmt: skip
    result = infer((), Reading(subject, results))
    assert result is not None
    assert list(result.claims["instrument"]) == list(INSTRUMENTS[:used])
    return result


def transplants(random: np.random.Generator, effects: Sequence[float]) -> TransplantEffects:
    """Return hybrids in which one block after the other is restored, and one in which all are."""
    places = [*(f"block:{k}" for k in range(1, 1 + len(effects))), "all"]
    intact = 0.7 + 0.1 * random.standard_normal((QUERIES, 1, 1))
    shift = np.array([*effects, WHOLE])[None, :, None]
    values = intact + shift + RATES * random.standard_normal((QUERIES, len(places), 1))
    labels = {"query": [f"q{i}" for i in range(QUERIES)], "transplant": places, "measure": [MEASURE]}
    hybrids = xr.DataArray(values, labels, tuple(labels))
    still = xr.zeros_like(hybrids) + intact
    measured = {"restored": (Scores("transplants", still), Scores("transplants", hybrids))}
    return effects_of(TransplantScores(measured), "made up", len(effects), FEW)


def changed(weights: np.ndarray) -> WeightDrift:
    """Return one tensor a block, changed by these parts of its size."""
    layers = np.arange(1, 1 + len(weights))
    tensors = {"name": [f"block {k}" for k in layers], "layer": layers, "part": "attention", "parameters": 1,
               "status": CHANGED, "norm": 1.0, "change": weights}  # fmt: skip
    return WeightDrift(pd.DataFrame(tensors), n_blocks=len(weights))


def diverging(apart: np.ndarray) -> RepresentationDrift:
    """Return CKA that falls by so much over each block."""
    layers = np.arange(1, 1 + len(apart))
    cka = 1 - np.r_[0, np.cumsum(apart)] / (1 + apart.sum())
    similarity = pd.DataFrame({"tower": "passage", "layer": [0, *layers], "statistic": "cka", "value": cka})
    empty = [pd.DataFrame(columns=list(columns)) for columns in (GEOMETRY_COLUMNS, LAYER_MAP_COLUMNS)]
    return RepresentationDrift(similarity.reindex(columns=list(SIMILARITY_COLUMNS)), *empty)


def rising(difference: Difference, values: np.ndarray) -> Difference:
    """Return the difference with effects that grow by these values over the blocks."""
    effect = difference.table["effect"]
    grown = (np.r_[0, np.cumsum(values)] / 10).reshape(effect.shape)
    return replace(difference, table=difference.table.assign(effect=effect.copy(data=grown)))


@cache
def significant(blocks: int) -> tuple[Difference, Difference]:
    """Return probes and retrieval by layer in which every layer changed; where most, the studies say."""
    layered = {"layer": list(range(blocks + 1))}
    probed = {"probe": ["dot"], "control": ["none"], "passages": [5], **layered}
    return gained(probed), gained({**layered, "measure": [MEASURE]})


def gained(labels: dict[str, list]) -> Difference:
    """Return a difference that is significant in every cell."""
    random = np.random.default_rng(0)
    coords = {"query": [f"q{i}" for i in range(20)], **labels}
    before = xr.DataArray(random.random([len(v) for v in coords.values()]), coords, tuple(coords))
    after = before + 0.5 + 0.1 * random.random(before.shape)
    return compare_scores(Scores("made up", before), Scores("made up", after), FEW)
