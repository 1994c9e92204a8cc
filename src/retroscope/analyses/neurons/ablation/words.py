"""Statements about the ablation: does retrieval need the top neurons more than random and large neurons?

A count of neurons without an ablation is no evidence. An ablation is evidence only if fixing the top neurons costs more
than both controls of the same layers: random neurons, and the largest neurons (ranked without gradient or query).
"""

from typing import Any

import pandas as pd

from retroscope.analyses.neurons.ablation.table import reported_fraction
from retroscope.analyses.neurons.result import LARGEST, TOP, AblationCurves, AttributedModel
from retroscope.numbers import count, exact_percent, interval, percent, score, signed, tied_p
from retroscope.typesetting.statements import Estimate, State, Statement
from retroscope.typesetting.subject import MODEL

TOPIC = "neurons"
VALUES = {"mean": "their mean", "zero": "zero"}
NO_ROOM = 0.99  # of an intact measure, above which it can hardly tell sets of neurons apart
SHARED = 0.5  # of the top neurons in a random set by chance, or among the largest
AS_LARGE = (
    "Fixing the largest neurons of the same layers, ranked without gradient or query, does not cost significantly "
    "less, so there is no evidence that the attribution finds more than large neurons."
)
TOO_FEW = (
    "Fixing the top neurons costs more than fixing any random draw, but the draws are too few or vary too much for "
    "the test."
)
NOTHING = "There is no evidence that retrieval needs these neurons more than others."


def of_model(name: str, side: AttributedModel) -> str:
    """Return the end of a phrase that names a model: "of the model after fine-tuning", or "of MODEL"."""
    return f"of {side.name}" if name == MODEL else f"of the model {name} fine-tuning"


def named_control(what: str, side: str) -> str:
    """Return the name of a control, with its model in brackets if two are compared."""
    return what if side == MODEL else f"{what} ({side})"


def ablation_statements(name: str, side: AttributedModel) -> list[Statement]:
    """State whether fixing the top neurons harms retrieval more than fixing others does, and at which fractions."""
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
            f"Retrieval needs the top neurons {of_model(name, side)}: at {_where(ablation)}, fixing them costs "
            f"significantly more than fixing as many random neurons or as many of the largest. {measured}"
        )
        return [Statement(TOPIC, State.SIGNIFICANT, text, (name,), **about)]
    if ablation.harms:
        text = (
            f"Retrieval may need the top neurons {of_model(name, side)}: at {_where(ablation)}, fixing them costs more "
            "than fixing as many random neurons or as many of the largest, but these queries are not independent of "
            f"the choice of the neurons. {measured}"
        )
        return [Statement(TOPIC, State.MEASURED, text, (name,), caution=True, **about)]
    why = _why_not(ablation, row)
    text = f"Ablation does not confirm the neurons {of_model(name, side)}. {measured} {why}"
    state = State.TOO_FEW if why == TOO_FEW else State.NOT_SIGNIFICANT
    return [Statement(TOPIC, state, text, (name,), caution=True, **about)]


def reported_row(ablation: AblationCurves) -> "pd.Series[Any]":
    """Return the row for which the report gives numbers (see `ablation.table.reported_fraction`)."""
    table = ablation.of_headline
    return table.loc[(table["fraction"] - reported_fraction(table)).abs().idxmin()]


def _where(ablation: AblationCurves) -> str:
    """Name every fraction at which ablation confirms the top neurons, and how many fractions there are."""
    shares = [exact_percent(f) for f in ablation.fractions_where("confirmed")]
    listed = shares[0] if len(shares) == 1 else f"{', '.join(shares[:-1])} and {shares[-1]}"
    return f"{listed} of the neurons ({len(shares)} of {count(len(ablation.fractions), 'fraction')})"


def _why_not(ablation: AblationCurves, row: "pd.Series[Any]") -> str:
    if ablation.fractions_where("over_random"):
        return AS_LARGE
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
    return (
        f"Fixing the {top} at {value} changes {measure} of {count(int(row['n']), 'query')} from "
        f"{score(row['intact'])} to {score(row['top'])}. Fixing as many random neurons of the same layers leaves "
        f"{score(row['random'])}; fixing as many of the largest neurons leaves {score(row[LARGEST])}. The loss "
        f"beyond that of random neurons is {over_random}, {tied_p(row['p_queries'])} by the test over queries and "
        f"{tied_p(row['p_draws'])} by the test over draws. The loss beyond that of the largest neurons is "
        f"{over_largest}, {tied_p(row['p_largest'])} by the test over queries. The largest p of these three tests, "
        f"Holm-corrected over the fractions: {tied_p(row['p_confirmed'])}."
    )


def _curve(ablation: AblationCurves) -> str:
    """Compare the top set with every random draw at each fraction, and state the areas between the curves."""
    table = ablation.of_headline
    draws = ablation.scores.values.sizes["draw"]
    lower = int(table["below_every_draw"].sum())
    comparison = (
        f"At {lower} of {count(len(table), 'fraction')}, retrieval with the top neurons fixed is lower than with any "
        f"of {count(draws, 'random draw')} fixed"
    )
    areas = [_area(ablation, how, words) for how, words in _curves_named(ablation)]
    named = "; of ".join(area for area in areas if area)
    return f"{comparison}. Area between the curve of random neurons and the curve of {named}."


def _curves_named(ablation: AblationCurves) -> list[tuple[str, str]]:
    beside = str(ablation.recipe["beside"])
    return [(TOP, "the top"), (beside, f"the top by {beside} value in these layers"), (LARGEST, "the largest")]


def _area(ablation: AblationCurves, how: str, words: str) -> str:
    areas = ablation.areas[(ablation.areas["how"] == how) & (ablation.areas["measure"] == ablation.measures[0])]
    if areas.empty:
        return ""
    size, low, high = areas[["area", "area_low", "area_high"]].iloc[0]
    return f"{words} {signed(size)} {interval(low, high, effect=True)}"


def _limits(ablation: AblationCurves, row: "pd.Series[Any]") -> str:
    """State limits of the comparison of top, random and large neurons."""
    limits = ""
    if row["shared_by_chance"] > SHARED:
        limits += (
            f" By chance, a random set contains {percent(row['shared_by_chance'])} of the top neurons, so the "
            "comparison is weak."
        )
    if row["shared_with_largest"] > SHARED:
        limits += f" {percent(row['shared_with_largest'])} of the top neurons are also among the largest."
    if row["intact"] > NO_ROOM:
        limits += (
            f" Intact {row['measure']} is nearly perfect, so different sets of neurons can hardly differ in their "
            "effects: use a harder collection."
        )
    if ablation.choosing_queries:
        limits += (
            f" The neurons were chosen on {ablation.choosing_queries} of these "
            f"{ablation.recipe.get('queries', 'same')} queries, so choice and measurement are not independent."
        )
    return limits
