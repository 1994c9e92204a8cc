"""Statements about the ablation: does retrieval need the top neurons more than random and large neurons?

An ablation confirms the top neurons only if fixing them harms retrieval more than fixing either control of the same
layers: random neurons, and the largest neurons, which are chosen without gradient or query.
"""

from typing import Any

import pandas as pd

from retroscope.analyses.neurons.ablation.table import reported_fraction
from retroscope.analyses.neurons.result import LARGEST, TOP, AblationCurves, AttributedModel
from retroscope.number_format import count, exact_percent, interval, percent, score, signed, tied_p
from retroscope.typesetting.statements import Estimate, State, Statement
from retroscope.typesetting.subject import MODEL

TOPIC = "neurons"
VALUES = {"mean": "their mean", "zero": "zero"}
NO_ROOM = 0.99  # of an intact measure, above which it can hardly tell sets of neurons apart
SHARED = 0.5  # of the top neurons in a random set by chance, or among the largest
AS_LARGE = (
    "Fixing the top neurons does not lower {measure} significantly more than fixing as many of the largest neurons of "
    "the same layers. (The largest neurons are chosen without gradient or query.) So there is no evidence that the "
    "attribution finds more than large neurons."
)
TOO_FEW = (
    "Fixing the top neurons lowers retrieval more than fixing any random set of neurons, but there are too few random "
    "sets, or they differ too much, for a significant test."
)
LARGE = "the largest neurons (those whose fixing changes the output of their block most)"
NOTHING = "There is no evidence that retrieval needs these neurons more than other neurons."


def of_model(name: str, side: AttributedModel) -> str:
    """Return the end of a phrase that names a model: "of the model after fine-tuning", or "of MODEL"."""
    return f"of {side.name}" if name == MODEL else f"of the model {name} fine-tuning"


def named_control(what: str, side: str) -> str:
    """Return the name of a control, with its model in brackets if two are compared."""
    return what if side == MODEL else f"{what} ({side})"


def ablation_statements(name: str, side: AttributedModel) -> list[Statement]:
    """State whether, and at which fractions, fixing the top neurons harms retrieval more than fixing control neurons.

    The two controls are random neurons and the largest neurons.
    """
    control = named_control("neuron ablation", name)
    if side.ablation is None:
        text = (
            f"No ablation was run on the neurons {of_model(name, side)}. Without an ablation, there is no evidence "
            "that retrieval needs these neurons."
        )
        return [Statement(TOPIC, State.NOT_RUN, text, (name,), code=f"ablation.{name}", control=control, caution=True)]
    ablation = side.ablation
    row = reported_row(ablation)
    measured = f"{_sizes(ablation, row)} {_curve(ablation)}{_limits(ablation, row)}"
    number = Estimate(f"loss of {row['measure']} beyond that of random neurons", row["harm"], row["harm_low"],
                      row["harm_high"], row["p_confirmed"], int(row["n"]))  # fmt: skip
    about: Any = {"code": f"ablation.{name}", "control": control, "estimate": number, "figure": "neuron_ablation"}
    if ablation.confirms:
        text = (
            f"Retrieval needs the top neurons (those with the largest attribution) {of_model(name, side)}. At "
            f"{_where(ablation)}, fixing them lowers retrieval significantly more than fixing as many random neurons, "
            f"and more than fixing as many of {LARGE}. {measured}"
        )
        return [Statement(TOPIC, State.SIGNIFICANT, text, (name,), **about)]
    if ablation.harms:
        text = (
            f"Retrieval may need the top neurons (those with the largest attribution) {of_model(name, side)}. At "
            f"{_where(ablation)}, fixing them lowers retrieval more than fixing as many random neurons, and more than "
            f"fixing as many of {LARGE}. But the neurons were chosen with some of these queries. {measured}"
        )
        return [Statement(TOPIC, State.MEASURED, text, (name,), caution=True, **about)]
    why = _why_not(ablation, row)
    who = f"the top neurons (those with the largest attribution) {of_model(name, side)}"
    text = f"The ablation does not confirm that retrieval needs {who}. {measured} {why}"
    state = State.TOO_FEW if why == TOO_FEW else State.NOT_SIGNIFICANT
    return [Statement(TOPIC, state, text, (name,), caution=True, **about)]


def reported_row(ablation: AblationCurves) -> "pd.Series[Any]":
    """Return the results of the ablation at the one fraction of the neurons for which the report gives numbers.

    For the choice of the fraction, see `ablation.table.reported_fraction`.
    """
    table = ablation.of_headline
    return table.loc[(table["fraction"] - reported_fraction(table)).abs().idxmin()]


def _where(ablation: AblationCurves) -> str:
    """Name every fraction at which ablation confirms the top neurons, and how many fractions there are."""
    shares = [exact_percent(f) for f in ablation.fractions_where("confirmed")]
    listed = shares[0] if len(shares) == 1 else f"{', '.join(shares[:-1])} and {shares[-1]}"
    return f"{listed} of the neurons ({len(shares)} of {count(len(ablation.fractions), 'tested fraction')})"


def _why_not(ablation: AblationCurves, row: "pd.Series[Any]") -> str:
    if ablation.fractions_where("over_random"):
        return AS_LARGE.format(measure=row["measure"])
    by_query = row["harm"] > 0 and row["p_queries"] <= 1 - ablation.recipe["level"]
    return TOO_FEW if by_query and row["below_every_draw"] else NOTHING


def _sizes(ablation: AblationCurves, row: "pd.Series[Any]") -> str:
    value, measure = VALUES.get(ablation.recipe.get("fixed_at", ""), "one value"), row["measure"]
    layers = f"{int(row['layers'])} of {count(int(ablation.recipe['layers']), 'layer')}"
    top = f"top {exact_percent(row['fraction'])} ({count(int(row['neurons']), 'neuron')}, in {layers})"
    over_random, over_largest = (
        f"{signed(row[harm])} {interval(row[f'{harm}_low'], row[f'{harm}_high'], effect=True)}"
        for harm in ("harm", "harm_over_largest")
    )
    largest = "the largest neurons" if ablation.confirms or ablation.harms else LARGE  # defined at its first use
    return (
        f"Fixing the {top} at {value} changes {measure} of {count(int(row['n']), 'query')} from {score(row['intact'])} "
        f"to {score(row['top'])}. With as many random neurons of the same layers fixed, {measure} is "
        f"{score(row['random'])}; with as many of {largest} fixed, it is {score(row[LARGEST])}. The loss of {measure} "
        f"beyond that of random neurons is {over_random}, {tied_p(row['p_queries'])} by the test over queries and "
        f"{tied_p(row['p_draws'])} by the test over random sets. The loss beyond that of the largest neurons is "
        f"{over_largest}, {tied_p(row['p_largest'])} by the test over queries. The largest of these three p-values, "
        f"Holm-corrected over the {count(len(ablation.fractions), 'fraction')} of neurons: "
        f"{tied_p(row['p_confirmed'])}."
    )


def _curve(ablation: AblationCurves) -> str:
    """Compare the top neurons with every random set at each fraction, and state the areas between the curves."""
    table, measure = ablation.of_headline, ablation.measures[0]
    draws = ablation.scores.values.sizes["draw"]
    lower = int(table["below_every_draw"].sum())
    areas = [_area(ablation, how, words) for how, words in _curves_named(ablation)]
    return (
        f"At {lower} of {count(len(table), 'tested fraction')} of neurons, {measure} is lower with the top neurons "
        f"fixed than with any of {count(draws, 'random set')} fixed. Over all fractions, the area by which the curve "
        f"of {measure} with random neurons fixed lies above the curve with another set fixed (over the log of the "
        f"fraction) is {'; '.join(a for a in areas if a)}."
    )


def _curves_named(ablation: AblationCurves) -> list[tuple[str, str]]:
    beside = str(ablation.recipe["beside"])
    return [
        (TOP, "top neurons"),
        (beside, f"top neurons by {beside} value in these layers"),
        (LARGEST, "largest neurons"),
    ]


def _area(ablation: AblationCurves, how: str, words: str) -> str:
    rows = ablation.areas[(ablation.areas["how"] == how) & (ablation.areas["measure"] == ablation.measures[0])]
    if rows.empty:
        return ""
    size, low, high = rows[["area", "area_low", "area_high"]].iloc[0]
    return f"{signed(size)} {interval(low, high, effect=True)} for the {words}"


def _limits(ablation: AblationCurves, row: "pd.Series[Any]") -> str:
    """Return sentences on what limits the comparison of top, random and largest neurons, or ""."""
    limits = ""
    if row["shared_by_chance"] > SHARED:
        limits += (
            f" By chance, a random set contains {percent(row['shared_by_chance'])} of the top neurons, so the "
            "comparison is weak."
        )
    if row["shared_with_largest"] > SHARED:
        limits += f" {percent(row['shared_with_largest'])} of the top neurons are also among the largest neurons."
    if row["intact"] > NO_ROOM:
        limits += (
            f" {row['measure']} of the intact model is nearly perfect, so different sets of neurons can hardly differ "
            "in their effects: use a harder collection."
        )
    if ablation.choosing_queries:
        limits += (
            f" The neurons were chosen on {ablation.choosing_queries} of these "
            f"{ablation.recipe.get('queries', 'same')} queries, so the choice of the neurons and its test are not "
            "independent."
        )
    return limits
