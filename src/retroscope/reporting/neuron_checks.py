"""Can a neuron result be trusted? Noise, completeness, what was asked, and the ablation.

A count without an ablation is not evidence: every conclusion about a side whose neurons no ablation
confirms is marked.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from retroscope.reporting.frames import alpha, correction, rows
from retroscope.reporting.neuron_findings import SINGLE, Ablation, NeuronFindings, NeuronSide
from retroscope.reporting.neuron_frames import gaps_of, harm
from retroscope.reporting.numbers import count, interval, p_value, score, signed
from retroscope.reporting.statements import ALARM, CAUTION, NOTE, SHOWN, Statement
from retroscope.statistics.completeness import WORST

TOPIC = "neurons"
REFERENCE = 0.01  # the verdict is about the ablated part nearest to this one
MUCH_NOISE = 0.5  # of the units
# Median gaps at the judged site: above the default's tolerance values are inexact; with gaps of .05 to .18 in the layer
# that matters (stories260K's retriever), the top 1 % agreed with 64 nodes to a Jaccard index of .5 to .8 only.
INCOMPLETE, WRONG = 0.01, 0.05
HELD = {"mean": "their mean", "zero": "zero"}
NO_ROOM = 0.99  # of an intact measure, above which it can hardly tell sets of neurons apart
SHARED = 0.5  # of the top neurons in a random set by chance


def check_statements(findings: NeuronFindings) -> list[Statement]:
    """What every check says of every side, in the order of `CHECKS`; warnings last."""
    found = [s for check in CHECKS for name, side in findings.sides.items() for s in check(name, side)]
    return [*found, *_paired_warnings(findings)]


def doubted(statement: Statement, findings: NeuronFindings) -> Statement:
    """The statement, marked where neurons that it rests on are noise, incomplete, or confirmed by no ablation."""
    sides = {name: side for name, side in findings.sides.items() if name in statement.rests_on}
    alarms = [s for n, side in sides.items() for check in (noise, completeness) for s in check(n, side)]
    reasons = [f"{s.text.split(':')[0]} (see above)" for s in alarms if s.tone == ALARM]
    without = [of(name, side) for name, side in sides.items() if side.ablation is None]
    if without:
        reasons.append(f"no ablation says whether the neurons {' and '.join(without)} matter")
    ablations = [(of(name, side), side.ablation) for name, side in sides.items() if side.ablation is not None]
    failed = [who for who, ablation in ablations if not harmed(ablation)]
    if failed:
        reasons.append(f"ablation does not confirm the neurons {' and '.join(failed)}")
    same = [who for who, ablation in ablations if harmed(ablation) and chosen_on(ablation)]
    if same:
        reasons.append(f"the queries of the ablation had a part in choosing the neurons {' and '.join(same)}")
    return statement.doubted(*reasons)


def of(name: str, side: NeuronSide) -> str:
    """The side in words: "of the after side", or "of MODEL" where it is alone."""
    return f"of {side.model}" if name == SINGLE else f"of the {name} side"


def noise(name: str, side: NeuronSide) -> list[Statement]:
    """Units whose F never moved: an alarm where they are at least half."""
    if not side.noise:
        return []
    part = f"in {side.noise} of {count(side.units, 'unit')} {of(name, side)}"
    if side.noise >= MUCH_NOISE * side.units:
        text = (
            f"NEURONS ARE NOISE {of(name, side)}: {part} the target moves by no more than rounding. Shares and counts "
            f"are of the others only; do not read them as those of the model."
        )
        return [Statement(TOPIC, ALARM, text, (name,))]
    text = f"Noise: {part} the target moves by no more than rounding; they count in no share."
    return [] if any(w.startswith("noise") for w in side.warnings) else [Statement(TOPIC, CAUTION, text, (name,))]


def completeness(name: str, side: NeuronSide) -> list[Statement]:
    """Do the signed values add up to F(1) - F(0), at the site that matters? Methods without a path have no gap."""
    how = f"{side.recipe.get('method', 'method unknown')}, {side.recipe.get('quadrature', 'quadrature unknown')}"
    gaps = gaps_of(side)
    if gaps.judged is None:
        text = f"Completeness: the values {of(name, side)} make no claim to add up to the target ({how})."
        return [Statement(TOPIC, NOTE, text, (name,))]
    parts, layers = (side.scores.values.coords[dim].values.tolist() for dim in ("part", "layer"))
    part, layer = gaps.judged
    median = float(gaps.median[part, layer])
    weighted = ", ".join(f"{p} {g:.2g}" for p, g in zip(parts, gaps.weighted, strict=True) if np.isfinite(g))
    sizes = (
        f"the values {of(name, side)} miss F(1) - F(0) most at layer {layers[layer]} ({parts[part]}; "
        f"{gaps.weight[part, layer]:.0%} of the attribution of that part): by {median:.2g} of the sum of their sizes "
        f"(median; {WORST:.0%} of the units are below {gaps.worst[part, layer]:.2g}). Weighted by attribution, over "
        f"all layers: {weighted} ({how})."
    )
    if median > WRONG:
        text = f"ATTRIBUTION INCOMPLETE {of(name, side)}: {sizes} Use more nodes, e.g. quadrature auto:0.01."
        return [Statement(TOPIC, ALARM, text, (name,))]
    return [Statement(TOPIC, CAUTION if median > INCOMPLETE else NOTE, f"Completeness: {sizes}", (name,))]


def target(name: str, side: NeuronSide) -> list[Statement]:
    """What was asked: the norm asks nothing about retrieval."""
    if side.recipe.get("target") != "norm":
        return []
    text = (
        f"The target {of(name, side)} is the norm of an embedding, which asks nothing about retrieval. "
        f"Neurons of the targets score or margin carry relevance."
    )
    return [Statement(TOPIC, CAUTION, text, (name,))]


def ablated(name: str, side: NeuronSide) -> list[Statement]:
    """Does taking the named neurons away harm retrieval more than taking others away?"""
    if side.ablation is None:
        text = (
            f"No ablation was run on the neurons {of(name, side)}. A count without an ablation is not evidence: "
            f"nothing shows that retrieval needs these neurons."
        )
        return [Statement(TOPIC, CAUTION, text, (name,))]
    ablation = side.ablation
    row = reference(ablation)
    said = f"{_sizes(ablation, row)} {_curve(ablation)}{_limits(ablation, row)}"
    if confirmed(ablation):
        return [Statement(TOPIC, SHOWN, f"Ablation confirms the neurons {of(name, side)}: {said}", (name,))]
    if harmed(ablation):
        text = f"Ablation agrees with the neurons {of(name, side)}, but cannot confirm them: {said}"
        return [Statement(TOPIC, CAUTION, text, (name,))]
    ends = "Nothing shows that retrieval needs these neurons more than others."
    if _more_than_these_draws(ablation):
        ends = "They cost more than these draws do, which are too few, or too unlike, to say it of any other."
    return [
        Statement(TOPIC, CAUTION, f"Ablation does not confirm the neurons {of(name, side)}: {said} {ends}", (name,))
    ]


def reference(ablation: Ablation) -> "pd.Series[Any]":
    """The row of the ablation's table that the verdict is about: first measure, the fraction nearest to 1 %."""
    table = ablation.table[ablation.table["measure"] == ablation.measures[0]]
    return table.loc[np.abs(np.log(table["fraction"].astype(float) / REFERENCE)).idxmin()]


def confirmed(ablation: Ablation) -> bool:
    """Whether the top costs more than random neurons, on queries that had no part in choosing it."""
    return harmed(ablation) and not chosen_on(ablation)


def harmed(ablation: Ablation) -> bool:
    """Whether the top costs more than random neurons do.

    It must stand against other queries (paired test against the mean draw, corrected over the fractions), against
    other draws (prediction test), and below every draw.
    """
    return _more_than_these_draws(ablation) and bool(reference(ablation)["p_draws"] <= alpha(harm(ablation)))


def _more_than_these_draws(ablation: Ablation) -> bool:
    """The first and the last of the three: what no further draw is asked for."""
    test = _test(ablation)
    by_query = bool(test["effect"] < 0 and test["p_corrected"] < alpha(harm(ablation)))
    return by_query and bool(reference(ablation)["below_every_draw"])


def chosen_on(ablation: Ablation) -> int:
    """How many of the measured queries had a part in choosing the neurons."""
    return int(ablation.recipe.get("attributed_queries", 0))


def _test(ablation: Ablation) -> "pd.Series[Any]":
    """Top against the mean draw, paired by query, at the reference."""
    row = reference(ablation)
    found = rows(harm(ablation), measure=row["measure"])
    return found.loc[(found["fraction"] - row["fraction"]).abs().idxmin()]


def _sizes(ablation: Ablation, row: "pd.Series[Any]") -> str:
    test, held = _test(ablation), HELD.get(ablation.recipe.get("hold", ""), "one value")
    return (
        f"holding the top {100 * row['fraction']:.2g} % of them ({row['neurons']:,.0f}) at {held} takes "
        f"{row['measure']} of {count(int(test['n']), 'query')} from {score(row['intact'])} to {score(row['top'])}, and "
        f"as many random ones of the same layers to {score(row['random'])}: harm {signed(row['harm'])} "
        f"{interval(row['harm_low'], row['harm_high'], effect=True)}, paired by query, {correction(harm(ablation))}"
        f"-corrected {p_value(test['p_corrected'])}; as one more random draw, {p_value(row['p_draws'])} (prediction "
        "test)."
    )


def _curve(ablation: Ablation) -> str:
    """Every fraction against every draw, and the area."""
    table = ablation.table[ablation.table["measure"] == ablation.measures[0]]
    draws = ablation.scores.values.sizes["draw"]
    lower = int(table["below_every_draw"].sum())
    said = f"The top lies below all {count(draws, 'random draw')} at {lower} of {count(len(table), 'fraction')}"
    area = ablation.areas[(ablation.areas["how"] == "top") & (ablation.areas["measure"] == ablation.measures[0])]
    if area.empty:
        return f"{said}."
    size, low, high = area[["area", "area_low", "area_high"]].iloc[0]
    return f"{said}; area between the curves {signed(size)} {interval(low, high, effect=True)}."


def _limits(ablation: Ablation, row: "pd.Series[Any]") -> str:
    """What weakens the comparison."""
    said = ""
    if row["shared_by_chance"] > SHARED:
        said += f" A random set shares {row['shared_by_chance']:.0%} of the top by chance: the comparison is weak."
    if row["intact"] > NO_ROOM:
        said += (
            f" Intact {row['measure']} is nearly perfect, so that little can be told apart: use a harder collection."
        )
    if chosen_on(ablation):
        said += (
            f" The neurons were chosen on {chosen_on(ablation)} of these {ablation.recipe.get('queries', 'same')} "
            f"queries: choice and measurement are not apart."
        )
    return said


def warned(name: str, side: NeuronSide) -> list[Statement]:
    """The warnings of the attribution and of the ablation, once each."""
    carried = side.ablation.warnings if side.ablation is not None else ()
    every = dict.fromkeys((*side.warnings, *carried))
    return [Statement(TOPIC, CAUTION, f"Warning of the neurons {of(name, side)}: {w}", (name,)) for w in every]


def _paired_warnings(findings: NeuronFindings) -> list[Statement]:
    """Those of the comparison itself."""
    if findings.profile is None:
        return []
    carried = {f"{name}: {w}" for name, side in findings.sides.items() for w in (*side.warnings, *side.scores.warnings)}
    own = [w for w in findings.profile.warnings if w not in carried]
    return [Statement(TOPIC, CAUTION, f"Warning of the comparison of neurons: {w}", ()) for w in own]


CHECKS: tuple[Callable[[str, NeuronSide], list[Statement]], ...] = (noise, completeness, target, warned)
