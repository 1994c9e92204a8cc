"""Check whether results about neurons are reliable: noise, completeness, target and warnings.

An attribution without an ablation is not evidence. So every statement about a model whose top neurons no ablation
confirms is marked as doubtful.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from retroscope.analyses.neurons.ablation.words import TOPIC, named_control, of_model
from retroscope.analyses.neurons.frames import gaps_of
from retroscope.analyses.neurons.result import AttributedModel, TowerNeurons
from retroscope.number_format import count, exact_percent, percent
from retroscope.statistics.completeness import TOP, WORST, SiteGaps
from retroscope.typesetting.statements import Estimate, Kind, State, Statement, seen_above

MUCH_NOISE = 0.5  # of the examples
# Median gaps at the judged site: above the default's tolerance values are inexact; with gaps of .05 to .18 in the layer
# that matters (stories260K's retriever), the top 1 % agreed with 64 nodes to a Jaccard index of .5 to .8 only.
INCOMPLETE, WRONG = 0.01, 0.05


def check_statements(tower: TowerNeurons) -> list[Statement]:
    """Check whether the results about neurons are reliable, and return a conclusion (statement) for each finding.

    Each model is checked by the functions in `CHECKS`. The warnings of the comparison come last.
    """
    statements = [s for check in CHECKS for name, side in tower.sides.items() for s in check(name, side)]
    return [*statements, *_paired_warnings(tower)]


def doubted(statement: Statement, tower: TowerNeurons) -> Statement:
    """Return the statement with all reasons to doubt it: noise, a large completeness gap, no confirming ablation."""
    sides = {name: side for name, side in tower.sides.items() if name in statement.rests_on}
    alarms = [s for n, side in sides.items() for check in (noise, completeness) for s in check(n, side)]
    reasons = seen_above(s for s in alarms if s.failed)
    without = [of_model(name, side) for name, side in sides.items() if side.ablation is None]
    if without:
        reasons.append(f"no ablation tested whether retrieval needs the neurons {' and '.join(without)}")
    ablations = [(of_model(name, side), side.ablation) for name, side in sides.items() if side.ablation is not None]
    failed = [who for who, ablation in ablations if not ablation.harms]
    if failed:
        reasons.append(f"the ablation does not confirm the top neurons {' and '.join(failed)}")
    same = [who for who, ablation in ablations if ablation.harms and ablation.choosing_queries]
    if same:
        reasons.append(f"some queries of the ablation also served to choose the neurons {' and '.join(same)}")
    return statement.doubted(*reasons)


def noise(name: str, side: AttributedModel) -> list[Statement]:
    """State in how many examples the attributed quantity (target) changes only by rounding.

    If this holds for at least half of the examples, the statement is an alarm.
    """
    attribution = side.attribution
    if not attribution.noise:
        return []
    number = Estimate("of the examples are noise", attribution.noise / attribution.examples, kind=Kind.SHARE)
    about: Any = {"code": f"noise.{name}", "estimate": number}
    part = f"in {attribution.noise} of {count(attribution.examples, 'example')} {of_model(name, side)}"
    if attribution.noise >= MUCH_NOISE * attribution.examples:
        title = f"NEURONS ARE NOISE {of_model(name, side)}"
        text = (
            f"{title}: {part}, the target changes by no more than rounding. Shares and counts of neurons describe the "
            "other examples only, not the model."
        )
        return [Statement(TOPIC, State.FAILED, text, (name,), title=title, **about)]
    text = f"Noise: {part}, the target changes by no more than rounding. These examples are left out of all shares."
    return [] if attribution.noise_warned else [Statement(TOPIC, State.MEASURED, text, (name,), caution=True, **about)]


def completeness(name: str, side: AttributedModel) -> list[Statement]:
    """State the completeness gap: how far the attributions' sum is from the change of the target along the path.

    The gap is that of one FFN matrix and layer: the largest among those with a substantial part of the attribution or
    of the top neurons. Methods that do not integrate along a path claim no completeness, so they have no gap.
    """
    how = f"method {side.recipe.get('method', 'unknown')}, quadrature {side.recipe.get('quadrature', 'unknown')}"
    gaps = gaps_of(side.attribution)
    if gaps.judged is None:
        text = (
            f"Completeness: by this method, the attributions {of_model(name, side)} need not add up to the change of "
            f"the target ({how})."
        )
        if side.attribution.noise == side.attribution.examples:
            text = f"Completeness {of_model(name, side)} was not measured, because every example is noise ({how})."
        return [Statement(TOPIC, State.MEASURED, text, (name,), code=f"completeness.{name}")]
    parts, layers = (side.attribution.scores.values.coords[dim].values.tolist() for dim in ("part", "layer"))
    part, layer = gaps.judged
    median = float(gaps.median[part, layer])
    weighted = ", ".join(f"{g:.2g} ({p} neurons)" for p, g in zip(parts, gaps.weighted, strict=True) if np.isfinite(g))
    held = _held(gaps, part, layer, f"{parts[part]} neurons")
    sizes = (
        f"the attributions {of_model(name, side)} should add up to the change of the target, F(1) - F(0). The "
        "gap is the difference between their sum and this change, divided by the sum of the absolute attributions. "
        f"Among the layers with a substantial part of the attribution, the gap is largest for the {parts[part]} "
        f"neurons of layer {layers[layer]}: its median is {median:.2g}, and {exact_percent(WORST)} of the examples "
        f"have a gap below {gaps.worst[part, layer]:.2g}. {held} The mean gap over all layers, weighted by "
        f"attribution, is {weighted}. Attributed by {how}."
    )
    number = Estimate(f"completeness gap, layer {layers[layer]}", median, n=side.attribution.examples, kind=Kind.SCORE)
    about: Any = {"code": f"completeness.{name}", "control": named_control("completeness", name), "estimate": number}
    if median > WRONG:
        title = f"ATTRIBUTION INCOMPLETE {of_model(name, side)}"
        text = f"{title}: {sizes} Use more quadrature nodes, e.g. quadrature auto:0.01."
        return [Statement(TOPIC, State.FAILED, text, (name,), title=title, **about)]
    caution = median > INCOMPLETE
    return [Statement(TOPIC, State.MEASURED, f"Completeness: {sizes}", (name,), caution=caution, **about)]


def _held(gaps: SiteGaps, part: int, layer: int, neurons: str) -> str:
    """State one layer's share of the attribution over all layers, and its share of the top 1 % of the neurons.

    Args:
        neurons: the words for the neurons of this matrix, e.g. "output neurons".
    """
    share, top = gaps.weight[part, layer], gaps.top[part, layer]
    best = f", and {percent(top)} of their top {exact_percent(TOP)}" if np.isfinite(top) else ""
    return f"This layer has {percent(share)} of the attribution of all {neurons}{best}."


def target(name: str, side: AttributedModel) -> list[Statement]:
    """Return a caution if the attributed quantity (target) is an embedding's norm, which does not measure retrieval."""
    if side.recipe.get("target") != "norm":
        return []
    text = (
        f"The attributed target {of_model(name, side)} is the norm of an embedding, which does not measure retrieval. "
        "The targets score and margin measure retrieval."
    )
    return [Statement(TOPIC, State.MEASURED, text, (name,), code=f"target.{name}", caution=True)]


def warned(name: str, side: AttributedModel) -> list[Statement]:
    """Return a statement for each warning of one model's attribution or ablation, without repeats."""
    carried = side.ablation.warnings if side.ablation is not None else ()
    every = dict.fromkeys((*side.attribution.warnings, *carried))
    texts = [f"Caution (neurons {of_model(name, side)}): {w}" for w in every]
    return [Statement(TOPIC, State.MEASURED, text, (name,), code="warning", caution=True) for text in texts]


def _paired_warnings(tower: TowerNeurons) -> list[Statement]:
    """Return a statement for each warning of the comparison that is not already a warning of one model."""
    if tower.profile is None:
        return []
    attributions = tower.attributions
    carried = {f"{name}: {w}" for name, one in attributions.items() for w in (*one.warnings, *one.scores.warnings)}
    own = [w for w in tower.profile.warnings if w not in carried]
    texts = [f"Caution (comparison of the two models' neurons): {w}" for w in own]
    return [Statement(TOPIC, State.MEASURED, text, (), code="warning", caution=True) for text in texts]


CHECKS: tuple[Callable[[str, AttributedModel], list[Statement]], ...] = (noise, completeness, target, warned)
