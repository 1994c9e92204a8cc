"""Neurons: which layers hold the attribution, how few neurons hold it, and how many are active, before and after.

Attributions are made up: magnitudes of every neuron of four layers, for texts that both models read. The two models are
equal in law but for their scale: one is ten times the other, which says nothing about where the attribution lies.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
import xarray as xr
from scipy import stats

from proof.proof import Proof, rate, short
from retroscope.analyses.neurons.frames import LAYER_SHARE, activity_effect, effect_rows, profile_rows
from retroscope.analyses.neurons.result import AttributedModel, TowerNeurons
from retroscope.attribution.result import GINI, TOTAL, NeuronAttribution
from retroscope.attribution.top_neurons.concentration import gini
from retroscope.attribution.top_neurons.overlap import chance_jaccard, jaccard
from retroscope.scores import Scores
from retroscope.statistics import ComparisonSettings, compare_scores
from retroscope.typesetting.frames import widened
from retroscope.typesetting.subject import MODEL

UNITS, LAYERS, NEURONS = 60, 4, 100
ALPHA, CHANGED, SPREAD, CUT = 0.05, 2, 0.7, 0.1
SCALE = 10.0  # of the model after
LARGEST, ABOVE = "largest", "above the cut"  # statistics of the controls, in the units of the values
TOP = 20  # of 400, a top set
LARGER, WIDER, FAR = 1.15, 1.1, 1.3  # the planted change of one layer: its magnitudes, or their spread
FEW = ComparisonSettings(resamples=200, family_per=("statistic",))
Magnitudes = np.ndarray  # (unit, layer, neuron)


def proofs(studies: int) -> list[Proof]:
    """Return the rows of the largest layer, of what moved between layers, of concentration, activity and overlap."""
    torch.set_num_threads(1)
    null = [compared(seed) for seed in range(studies)]
    larger = [compared(seed, larger=LARGER) for seed in range(studies, 2 * studies)]
    wider = [compared(seed, wider=WIDER) for seed in range(studies, 2 * studies)]
    apart = [compared(seed, wider=FAR) for seed in range(max(1, studies // 4))]
    return [peak(studies), moved(null, larger), concentrated(null, wider), active(null, apart), shared(studies)]


def peak(studies: int) -> Proof:
    """Return the row of the layer that holds most; its interval as that of a layer chosen beforehand is the control."""
    null, planted = ([alone(seed, larger) for seed in range(studies)] for larger in (1.0, LARGER))
    own = rate(holds_most(one, widen=True) for one in null)
    plain = float(np.mean([holds_most(one, widen=False) for one in null]))
    return Proof(
        instrument="Neurons: this layer has the largest share of the attribution",
        control="The interval of the largest layer, without correction for its selection",
        reads=f"For equal layers, the statement is made in {short(plain)} of the studies; with the widened interval, "
        f"in {short(own.value)}",
        failed=plain > 1.5 * own.value,
        false=own,
        power=rate(holds_most(one, widen=True) for one in planted),
        planted=f"one layer {LARGER} times as large as the other {LAYERS - 1}, {UNITS} texts",
        coverage=None,
        held_against="a planted layer in a synthetic report (tests/analyses/test_neurons_words.py)",
    )


def moved(null: Sequence[TowerNeurons], planted: Sequence[TowerNeurons]) -> Proof:
    """Return the row of attribution that moved between layers; totals, which have units, are the control."""
    truth = effect_of(larger=LARGER)[0]
    cells = [effect_rows(one, LAYER_SHARE).set_index("layer").loc[CHANGED] for one in planted]
    return Proof(
        instrument="Neurons: fine-tuning moved attribution between layers",
        control=f"The totals of layers, if the values of one model are {SCALE:g} times those of the other",
        **against_scale(null, [moved_at(effect_rows(one, LAYER_SHARE)) for one in null], TOTAL),
        power=rate(cell["p_corrected"] < ALPHA and cell["effect"] > 0 for cell in cells),
        planted=f"share {truth:+.3f} at one of {LAYERS} layers, {UNITS} texts",
        coverage=rate(cell["ci_low"] <= truth <= cell["ci_high"] for cell in cells),
        held_against="shares by hand (tests/analyses/test_neurons_frames.py)",
    )


def concentrated(null: Sequence[TowerNeurons], planted: Sequence[TowerNeurons]) -> Proof:
    """Return the row of the Gini index by layer; the size of the largest neuron is the control."""
    truth = effect_of(wider=WIDER)[1]
    cells = [effect_rows(one, GINI).set_index("layer").loc[CHANGED] for one in planted]
    large = torch.from_numpy(np.random.default_rng(0).lognormal(sigma=SPREAD, size=(1, 200_000)))
    gap = abs(float(gini(large)) - closed_gini())
    return Proof(
        instrument="Neurons: attribution is more concentrated in few neurons (Gini index)",
        control=f"The magnitude of the largest neuron, if the values of one model are {SCALE:g} times those of the "
        "other",
        **against_scale(null, [moved_at(effect_rows(one, GINI)) for one in null], LARGEST),
        power=rate(cell["p_corrected"] < ALPHA and cell["effect"] > 0 for cell in cells),
        planted=f"Gini index {truth:+.3f} at one of {LAYERS} layers, {UNITS} texts",
        coverage=rate(cell["ci_low"] <= truth <= cell["ci_high"] for cell in cells),
        held_against=f"its closed form for log-normal values: differs by {gap:.0e} with 200,000 neurons",
    )


def active(null: Sequence[TowerNeurons], planted: Sequence[TowerNeurons]) -> Proof:
    """Return the row of active neurons; a threshold that is not relative to the text's largest is the control."""
    return Proof(
        instrument="Neurons: fewer neurons are active, relative to the largest neuron of each text",
        control=f"A threshold in the units of the values, if the values of one model are {SCALE:g} times those of "
        "the other",
        **against_scale(null, [moved_at(activity_effect(one)) for one in null], ABOVE),
        power=rate(moved_at(activity_effect(one)) for one in planted),
        planted=f"the spread of magnitudes in one of {LAYERS} layers is {FAR} times as wide, {UNITS} texts",
        coverage=None,
        held_against="counts by hand (tests/analyses/test_neurons_frames.py)",
    )


def shared(studies: int) -> Proof:
    """Return the row of overlap beside its ceiling, without a test; halves of the same texts are the control."""
    found = np.array([overlaps(seed) for seed in range(studies)])
    apart, same, ceiling, unrelated = found.mean(axis=0)
    chance = chance_jaccard(LAYERS * NEURONS, TOP)
    return Proof(
        instrument="Neurons: overlap of the top sets of two models, and its ceiling (no test)",
        control="Halves with the same texts for both models, which share the noise of these texts",
        reads=f"The overlap is {short(same)}, above the ceiling of {short(ceiling)}; for halves without a common "
        f"text it is {short(apart)}, and for models with different top neurons {short(unrelated)}",
        failed=same > ceiling + 0.05 and abs(apart - ceiling) < 0.02 and abs(unrelated - chance) < 0.02,
        false=None,
        power=None,
        planted="",
        coverage=None,
        held_against=f"the expected overlap of two random sets (hypergeometric), {short(chance)}",
    )


def against_scale(null: Sequence[TowerNeurons], claimed: Sequence[bool], statistic: str) -> dict[str, object]:
    """Return what the control reads, whether it failed, and the rate of false statements."""
    own = rate(claimed)
    control = float(np.mean([moved_at(effect_rows(one, statistic)) for one in null]))
    return {
        "reads": f"For models that differ only in scale, a change is reported in {short(control)} of the studies; by "
        f"the report's statistic, in {short(own.value)}",
        "failed": control > 0.5 > own.value,
        "false": own,
    }


def moved_at(rows: pd.DataFrame | None) -> bool:
    """Return whether a change is claimed at any layer or threshold."""
    return rows is not None and bool((rows["p_corrected"] < ALPHA).any())


def holds_most(found: TowerNeurons, widen: bool) -> bool:
    """Return whether the largest layer's interval lies above an even spread."""
    cells = profile_rows(found, LAYER_SHARE)
    chosen = widened(cells, ALPHA) if widen else cells
    return bool(chosen.loc[chosen["value"].idxmax(), "low"] > 1 / LAYERS)


def alone(seed: int, larger: float) -> TowerNeurons:
    """Return one model, of which one layer may be larger."""
    random = np.random.default_rng(seed)
    return TowerNeurons({MODEL: side(random, np.zeros((UNITS, LAYERS, 1)), larger)})


def compared(seed: int, larger: float = 1.0, wider: float = 1.0) -> TowerNeurons:
    """Return two models that read the same texts; after, all is larger, and one layer may have changed."""
    random = np.random.default_rng(seed)
    texts = 0.3 * random.standard_normal((UNITS, LAYERS, 1))  # what a text does in both
    sides = {"before": side(random, texts), "after": side(random, texts, larger, wider, SCALE)}
    profile = compare_scores(*(one.attribution.scores for one in sides.values()), FEW)
    return TowerNeurons(sides, profile)


def side(
    random: np.random.Generator, texts: np.ndarray, larger: float = 1.0, wider: float = 1.0, scale: float = 1.0
) -> AttributedModel:
    """Return the statistics of one model's attribution, as the attribution room has them."""
    values = scale * magnitudes(random, texts, larger, wider)
    by_name = {
        TOTAL: values.sum(-1),
        GINI: gini(torch.from_numpy(values)).numpy(),
        f"active@{CUT:g}": (values >= CUT * values.max(axis=(1, 2), keepdims=True)).mean(-1),
        LARGEST: values.max(-1),
        ABOVE: (values >= 1.0).mean(-1),
    }
    labels = {"query": [f"q{i}" for i in range(UNITS)], "statistic": list(by_name), "part": ["intermediate"],
              "layer": list(range(1, 1 + LAYERS))}  # fmt: skip
    stacked = np.stack(list(by_name.values()), axis=1)[:, :, None]
    scores = Scores("neurons", xr.DataArray(stacked, labels, tuple(labels)))
    return AttributedModel("made up", NeuronAttribution(scores, {"intermediate": xr.Dataset()}, UNITS, 0))


def magnitudes(random: np.random.Generator, texts: np.ndarray, larger: float = 1.0, wider: float = 1.0) -> Magnitudes:
    """Return log-normal magnitudes; those of one layer may be larger, or spread more widely."""
    spread, factor = np.full((LAYERS, 1), SPREAD), np.ones((LAYERS, 1))
    spread[CHANGED - 1] *= wider
    factor[CHANGED - 1] *= larger
    own = 0.15 * random.standard_normal((len(texts), LAYERS, 1))
    return factor * np.exp(texts + own + spread * random.standard_normal((len(texts), LAYERS, NEURONS)))


def effect_of(larger: float = 1.0, wider: float = 1.0) -> tuple[float, float]:
    """Return the planted change of the layer's share and of its Gini index, over many texts."""
    random = np.random.default_rng(99)
    texts = 0.3 * random.standard_normal((40_000, LAYERS, 1))
    sides = [magnitudes(random, texts), magnitudes(random, texts, larger, wider)]
    totals = [values.sum(-1) for values in sides]
    share = [float((total[:, CHANGED - 1] / total.sum(-1)).mean()) for total in totals]
    even = [float(gini(torch.from_numpy(values[:, CHANGED - 1])).mean()) for values in sides]
    return share[1] - share[0], even[1] - even[0]


def closed_gini() -> float:
    """Return the Gini index of log-normal values: 2 Phi(sigma / sqrt 2) - 1."""
    return float(2 * stats.norm.cdf(SPREAD / np.sqrt(2)) - 1)


def overlaps(seed: int) -> list[float]:
    """Return overlaps of halves: of two models' without and with common texts, of one model's, of unrelated models'."""
    random = np.random.default_rng(seed)
    truth, other = random.standard_normal((2, LAYERS * NEURONS))
    texts = 0.6 * random.standard_normal((2, LAYERS * NEURONS))  # what either half of the texts does in both models
    one, two, far = (named + texts + 0.2 * random.standard_normal(texts.shape) for named in (truth, truth, other))
    pairs = ((one[0], two[1]), (one[0], two[0]), (one[0], one[1]), (one[0], far[1]))
    return [jaccard(a, b, TOP) for a, b in pairs]
