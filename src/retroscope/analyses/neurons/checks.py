"""Check whether results about neurons are reliable: noise, completeness, target and warnings. Checks of noise,
completeness, target and ablation.

A count without an ablation is not evidence: every conclusion about a side whose neurons no ablation
confirms is marked.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from retroscope.analyses.neurons.ablation.words import TOPIC, named_control, of_model
from retroscope.analyses.neurons.frames import gaps_of
from retroscope.analyses.neurons.result import AttributedModel, TowerNeurons
from retroscope.numbers import count, exact_percent, percent
from retroscope.statistics.completeness import TOP, WORST, SiteGaps
from retroscope.typesetting.statements import Estimate, Kind, State, Statement, seen_above

MUCH_NOISE = 0.5  # of the examples
# Median gaps at the judged site: above the default's tolerance values are inexact; with gaps of .05 to .18 in the layer
# that matters (stories260K's retriever), the top 1 % agreed with 64 nodes to a Jaccard index of .5 to .8 only.
INCOMPLETE, WRONG = 0.01, 0.05


def check_statements(tower: TowerNeurons) -> list[Statement]:
    """Run every check on every model's neurons, in the order of `CHECKS`; warnings come last."""
    statements = [s for check in CHECKS for name, side in tower.sides.items() for s in check(name, side)]
    return [*statements, *_paired_warnings(tower)]


def doubted(statement: Statement, tower: TowerNeurons) -> Statement:
    """Mark a statement as doubtful if its neurons are noise, incompletely attributed, or unconfirmed by ablation."""
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
    """State how many examples have a target F without change: an alarm if at least half do."""
    attribution = side.attribution
    if not attribution.noise:
        return []
    number = Estimate("of the examples are noise", attribution.noise / attribution.examples, kind=Kind.SHARE)
    about: Any = {"code": f"noise.{name}", "estimate": number}
    part = f"in {attribution.noise} of {count(attribution.examples, 'example')} {of_model(name, side)}"
    if attribution.noise >= MUCH_NOISE * attribution.examples:
        title = f"NEURONS ARE NOISE {of_model(name, side)}"
        text = (
            f"{title}: {part}, the target changes by no more than rounding. Shares and counts describe the other "
            "examples only, not the model."
        )
        return [Statement(TOPIC, State.FAILED, text, (name,), title=title, **about)]
    text = f"Noise: {part}, the target changes by no more than rounding. These examples are left out of all shares."
    return [] if attribution.noise_warned else [Statement(TOPIC, State.MEASURED, text, (name,), caution=True, **about)]


def completeness(name: str, side: AttributedModel) -> list[Statement]:
    """State whether the signed attributions add up to F(1) - F(0) at the site with the largest gap.

    Methods without a path have no gap.
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
    sizes = (
        f"the attributions {of_model(name, side)} should add up to the change of the target, F(1) - F(0). The "
        "gap is the difference between their sum and this change, divided by the sum of the absolute attributions. "
        f"Of the layers with a substantial part of the attribution, layer {layers[layer]} has the largest gap "
        f"({parts[part]} neurons; {_held(gaps, part, layer)}): its median is {median:.2g}, and "
        f"{exact_percent(WORST)} of the examples have a gap below {gaps.worst[part, layer]:.2g}. Mean "
        f"gap over all layers, weighted by attribution: {weighted}; {how}."
    )
    number = Estimate(f"completeness gap, layer {layers[layer]}", median, n=side.attribution.examples, kind=Kind.SCORE)
    about: Any = {"code": f"completeness.{name}", "control": named_control("completeness", name), "estimate": number}
    if median > WRONG:
        title = f"ATTRIBUTION INCOMPLETE {of_model(name, side)}"
        text = f"{title}: {sizes} Use more nodes, e.g. quadrature auto:0.01."
        return [Statement(TOPIC, State.FAILED, text, (name,), title=title, **about)]
    caution = median > INCOMPLETE
    return [Statement(TOPIC, State.MEASURED, f"Completeness: {sizes}", (name,), caution=caution, **about)]


def _held(gaps: SiteGaps, part: int, layer: int) -> str:
    """Return which share of the attribution and of the top neurons of its kind a layer has."""
    share, top = gaps.weight[part, layer], gaps.top[part, layer]
    neurons = f" and {percent(top)} of their top {exact_percent(TOP)}" if np.isfinite(top) else ""
    return f"{percent(share)} of their attribution over all layers{neurons}"


def target(name: str, side: AttributedModel) -> list[Statement]:
    """Warn if the target is the norm of an embedding, which does not measure retrieval."""
    if side.recipe.get("target") != "norm":
        return []
    text = (
        f"The attributed target {of_model(name, side)} is the norm of an embedding, which does not measure retrieval. "
        "The targets score and margin measure retrieval."
    )
    return [Statement(TOPIC, State.MEASURED, text, (name,), code=f"target.{name}", caution=True)]


def warned(name: str, side: AttributedModel) -> list[Statement]:
    """Return the warnings of the attribution and of the ablation, once each."""
    carried = side.ablation.warnings if side.ablation is not None else ()
    every = dict.fromkeys((*side.attribution.warnings, *carried))
    texts = [f"Caution (neurons {of_model(name, side)}): {w}" for w in every]
    return [Statement(TOPIC, State.MEASURED, text, (name,), code="warning", caution=True) for text in texts]


def _paired_warnings(tower: TowerNeurons) -> list[Statement]:
    """Return the warnings of the comparison of both models' neurons."""
    if tower.profile is None:
        return []
    attributions = tower.attributions
    carried = {f"{name}: {w}" for name, one in attributions.items() for w in (*one.warnings, *one.scores.warnings)}
    own = [w for w in tower.profile.warnings if w not in carried]
    texts = [f"Caution (comparison of the two models' neurons): {w}" for w in own]
    return [Statement(TOPIC, State.MEASURED, text, (), code="warning", caution=True) for text in texts]


CHECKS: tuple[Callable[[str, AttributedModel], list[Statement]], ...] = (noise, completeness, target, warned)
