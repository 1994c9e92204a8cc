"""Statements about the effects of weight transplants on retrieval."""

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from retroscope.analyses.transplants.block_words import block_statements
from retroscope.analyses.transplants.result import SUM, TransplantEffects
from retroscope.number_format import count, exact_percent, interval, percent_interval, score, signed, tied_p
from retroscope.statistics.testing.sequential import looks
from retroscope.surgery.transplant import GRAFTED, RESTORED
from retroscope.typesetting.effect_words import effect_limits, effect_tests, estimate_of, most_changed
from retroscope.typesetting.frames import alpha
from retroscope.typesetting.places import PART_WORDS, blocks_named, place_words
from retroscope.typesetting.statements import Estimate, Kind, State, Statement
from retroscope.typesetting.subject import AFTER, BEFORE

WEIGHTS = {  # direction -> whose weights, in which model
    RESTORED: ("the backbone's weights", "the retriever"),
    GRAFTED: ("the retriever's weights", "the backbone"),
}
DOING = {RESTORED: ("restoring", "in"), GRAFTED: ("grafting", "into")}  # direction -> verb, preposition
NOT_LOCALISED = "This effect is not significant, so there is nothing to localise."


def transplant_statements(f: TransplantEffects) -> tuple[Statement, ...]:
    """Return the statements about each direction ("restored", "grafted"), the effect of all weights first."""
    return tuple(s for d in f.differences for rule in RULES for s in rule(f, d))


def _all(f: TransplantEffects, direction: str) -> Iterator[Statement]:
    row = f.headline(direction, "all").iloc[0]
    what, where = WEIGHTS[direction]
    significant = row["p_corrected"] < _alpha(f, direction)
    end = "This is the total effect." if significant else NOT_LOCALISED
    sizes = f"{score(row['intact'])} to {_effect(f, direction, row)}"
    verb, into = DOING[direction]
    text = f"{verb.capitalize()} all of {what} {into} {where} changes {f.measures[0]} from {sizes}. {end}"
    state = State.SIGNIFICANT if significant else State.NOT_SIGNIFICANT
    yield Statement(direction, state, text, (), **_about(f, direction, "all", row))


def _blocks(f: TransplantEffects, direction: str) -> Iterator[Statement]:
    """State which single block has the largest effect."""
    blocks = f.headline(direction, "block")
    if blocks.empty:
        return
    largest = most_changed(blocks, _alpha(f, direction))
    significant = blocks[blocks["p_corrected"] < _alpha(f, direction)]
    what, where = WEIGHTS[direction]
    one = "block or group of blocks" if blocks["transplant"].str.contains("-").any() else "block"
    tested = count(len(blocks), one) if one == "block" else f"{len(blocks)} blocks and groups"
    largest_of = "largest significant change" if len(significant) else "largest change"
    verb, into = DOING[direction]
    text = (
        f"{verb.capitalize()} {what} {into} a single {one} of {where} changes {f.measures[0]} significantly for "
        f"{len(significant)} of {tested}. The {largest_of} is that of {blocks_named(largest['transplant'])}: "
        f"{f.measures[0]} {_effect(f, direction, largest)}."
    )
    state = State.SIGNIFICANT if len(significant) else State.NOT_SIGNIFICANT
    yield Statement(direction, state, text, (), **_about(f, direction, "blocks", largest))


def _ends(f: TransplantEffects, direction: str) -> Iterator[Statement]:
    """State how many blocks, counted from each end, suffice for half of the total effect."""
    everything = f.headline(direction, "all").iloc[0]
    whole = float(everything["effect"])
    if not everything["p_corrected"] < _alpha(f, direction):
        return  # a total effect that is not significant has no half
    (_, where), (verb, into) = WEIGHTS[direction], DOING[direction]
    ends = []
    for kind, end in (("top", "the top"), ("bottom", "the embeddings and the bottom")):
        rows = f.headline(direction, kind).sort_values("number")
        less = rows.loc[rows["effect"] / whole < 0.5, "number"]
        half = rows[rows["number"] > (less.max() if len(less) else 0)]
        if len(half):
            first = half.iloc[0]
            ends.append(
                f"{verb.capitalize()} {end} {int(first['number'])} of {f.n_blocks} blocks {into} {where} reaches half "
                f"of the total effect ({f.measures[0]} {score(first['score'])} "
                f"{interval(first['low'], first['high'])})."
            )
        elif len(rows):
            ends.append(f"{verb.capitalize()} {end} blocks {into} {where} does not reach half of the total effect.")
    if ends:
        code = f"{direction}.ends"
        yield Statement(direction, State.MEASURED, " ".join(ends), (), code=code, figure="transplants")


def _parts(f: TransplantEffects, direction: str) -> Iterator[Statement]:
    """State which part (attention, FFN ...) has the largest effect if transplanted in all blocks."""
    rows = f.headline(direction)
    rows = rows[rows["kind"].isin(list(PART_WORDS))].sort_values("effect", key=abs, ascending=False)
    if rows.empty:
        return
    what, where = WEIGHTS[direction]
    effects = "; ".join(f"{PART_WORDS[r['kind']]} {_effect(f, direction, r)}" for _, r in rows.iterrows())
    significant = bool((rows["p_corrected"] < _alpha(f, direction)).any())
    verb, into = DOING[direction]
    text = (
        f"{f.measures[0]} after {verb} one part of {what} {into} all blocks of {where}, the largest change first: "
        f"{effects}."
    )
    state = State.SIGNIFICANT if significant else State.NOT_SIGNIFICANT
    largest = most_changed(rows, _alpha(f, direction))
    yield Statement(direction, state, text, (), **_about(f, direction, "parts", largest))


def _between(f: TransplantEffects, direction: str) -> Iterator[Statement]:
    """State whether an interpolation of both models' weights is better than the retriever."""
    rows = f.headline(direction, "interpolate")
    if rows.empty or direction != RESTORED:
        return
    top = rows.loc[rows["score"].astype(float).idxmax()]
    better = top["effect"] > 0 and top["p_corrected"] < _alpha(f, direction)
    outcome = (
        "This interpolation is significantly better than the retriever."
        if better
        else "No interpolation is significantly better than the retriever."
    )
    text = (
        "Of the interpolations between the weights of both models, the one with a backbone share of "
        f"{exact_percent(top['number'])} scores highest: {f.measures[0]} {_effect(f, direction, top)}. {outcome}"
    )
    state = State.SIGNIFICANT if better else State.MEASURED
    yield Statement(direction, state, text, (), **_about(f, direction, "between", top))


def _control(f: TransplantEffects, direction: str) -> Iterator[Statement]:
    """State whether blocks and parts with a significant effect do more than random changes of equal size."""
    rows = f.controls[(f.controls["direction"] == direction) & (f.controls["measure"] == f.measures[0])]
    if rows.empty:
        return
    beats = rows[rows["beats"]]
    fewest, most = int(rows["draws"].min()), int(rows["draws"].max())
    draws = str(most) if fewest == most else f"{fewest} to {most}"
    text = (
        f"Of {len(rows)} transplants of a single place (block, group of blocks or part) with a significant effect, "
        f"{len(beats)} have a significantly larger effect than random changes of equal size in "
        f"{WEIGHTS[direction][1]}. A random change moves each of the transplanted tensors in a random direction by the "
        f"norm of its real change; there are {draws} random changes for each transplant. Effect on {f.measures[0]}, "
        f"against the mean effect of the random changes: {'; '.join(_against(row) for _, row in rows.iterrows())}."
    )
    text += _without_spread(rows, _alpha(f, direction))
    most = rows.loc[rows["effect"].abs().idxmax()]
    number = Estimate(f"effect on {f.measures[0]} beyond random changes, {place_words(most['transplant'])}",
                      most["extra"], most["extra_low"], most["extra_high"], most["p_corrected"], f.queries)  # fmt: skip
    state = State.SIGNIFICANT if len(beats) else State.NOT_SIGNIFICANT
    control = f"random changes ({direction})"
    yield Statement(direction, state, text, (), code=f"{direction}.random_changes", estimate=number, control=control)


def _single_blocks(f: TransplantEffects, direction: str) -> Iterator[Statement]:
    """State which single blocks of the groups that were split have an effect."""
    return block_statements(f, direction, WEIGHTS[direction][1])


def _without_spread(rows: pd.DataFrame, level: float) -> str:
    """Name the blocks and parts with too few random changes for a test, and state how many a test needs."""
    draws = int(rows["draws"].max())
    last = looks(draws)[-1].weight
    least = math.floor(round(len(rows) / (level * last), 9))  # Holm, last look: places / (draws + 1) / weight < level
    equal = rows[rows["random_lowest"] == rows["random_highest"]]
    if equal.empty or draws >= least:
        return ""
    names = "; ".join(place_words(name) for name in equal["transplant"])
    return (
        f" All {draws} random changes of {names} have the same effect. Without spread, the p-value over random changes "
        f"cannot fall below 1/{draws + 1}: use at least {least} random changes (transplants.draws)."
    )


def _against(row: "pd.Series[Any]") -> str:
    name = place_words(row["transplant"])
    return (
        f"{name} {signed(row['effect'])} against {signed(row['random'])} (difference {signed(row['extra'])} "
        f"{interval(row['extra_low'], row['extra_high'], effect=True)}, Holm-corrected {tied_p(row['p_corrected'])})"
    )


def _sum(f: TransplantEffects, direction: str) -> Iterator[Statement]:
    """State which share of the total effect the effects of all single blocks add up to."""
    shares = f.shares[(f.shares["direction"] == direction) & (f.shares["measure"] == f.measures[0])]
    shares = shares[shares["transplant"] == SUM]
    if shares.empty:
        return
    row = shares.iloc[0]
    together = percent_interval(row["share"], row["share_low"], row["share_high"])
    apart = row["share_low"] > 1 or row["share_high"] < 1
    end = (
        "So blocks interact, and the shares of single blocks do not add up to 100 %."
        if apart
        else "This sum is not significantly different from 100 %, so there is no evidence that blocks interact."
    )
    text = f"The effects of all single blocks add up to {together} of the effect of all weights. {end}"
    number = Estimate(
        "of the total effect, by the sum of single blocks", row["share"], row["share_low"], row["share_high"],
        kind=Kind.SHARE,
    )  # fmt: skip
    yield Statement(direction, State.MEASURED, text, (), code=f"{direction}.sum", estimate=number, figure="transplants")


def _shapley(f: TransplantEffects, direction: str) -> Iterator[Statement]:
    """State how Shapley values divide the total effect among groups."""
    if direction not in f.interactions:
        return
    interactions = f.interactions[direction]
    shapley, pairs = interactions.shapley, interactions.pairs
    values = "; ".join(f"{_group(row['group'])} {_tested(row)}{_share(row)}" for _, row in shapley.iterrows())
    groups = f"{len(shapley)} groups of weights ({direction})"
    text = f"The Shapley values of {f.measures[0]} for {groups} add up to the effect of all weights: {values}."
    significant = bool((shapley["p_corrected"] < _alpha(f, direction)).any())
    state = State.SIGNIFICANT if significant else State.NOT_SIGNIFICANT
    yield Statement(direction, state, text, (), code=f"{direction}.shapley")
    interacting = pairs[pairs["p_corrected"] < _alpha(f, direction)]
    if interacting.empty:
        text = f"None of {count(len(pairs), 'pair')} of these groups interacts significantly."
        yield Statement(direction, State.NOT_SIGNIFICANT, text, (), code=f"{direction}.pairs")
        return
    values = "; ".join(f"{_pair(row['pair'])} {_tested(row)}" for _, row in interacting.iterrows())
    text = (
        f"{len(interacting)} of {count(len(pairs), 'pair')} of groups interact significantly. Effect of both groups "
        f"together, minus the sum of their single effects: {values}."
    )
    yield Statement(direction, State.SIGNIFICANT, text, (), code=f"{direction}.pairs")


def _tested(row: "pd.Series[Any]") -> str:
    return f"{signed(row['effect'])} {effect_limits(row)}, corrected {tied_p(row['p_corrected'])}"


def _share(row: "pd.Series[Any]") -> str:
    """Return words for a group's share of the total effect, or "" if the total effect is not significant."""
    share = percent_interval(row["share"], row["share_low"], row["share_high"])
    return "" if math.isnan(row["share"]) else f", share {share}"


def _pair(name: str) -> str:
    return " and ".join(_group(group) for group in name.split(" x "))


def _group(name: str) -> str:
    return "weights outside the blocks" if name == "outside" else blocks_named(f"block:{name}")


def _about(f: TransplantEffects, direction: str, code: str, row: "pd.Series[Any]") -> dict[str, Any]:
    """Return the code, the estimate and the figure for a statement about one transplant."""
    sides = {"intact": BEFORE, "score": AFTER}
    place = _place(row)
    number = estimate_of(row.rename(sides), f"change of {f.measures[0]} with {place} {direction}", f.collection)
    return {"code": f"{direction}.{code}", "estimate": number, "figure": "transplants"}


def _place(row: "pd.Series[Any]") -> str:
    """Return the words for the weights of one transplant, such as "all weights" or "block 3"."""
    if row["kind"] == "all":
        return "all weights"
    if row["kind"] == "interpolate":
        return f"{exact_percent(row['number'])} of all weights"
    return place_words(row["transplant"])


def _alpha(f: TransplantEffects, direction: str) -> float:
    return alpha(f.differences[direction])


def _effect(f: TransplantEffects, direction: str, row: "pd.Series[Any]") -> str:
    return f"{score(row['score'])} ({effect_tests(f.differences[direction], row)})"


RULES = (_all, _blocks, _control, _single_blocks, _sum, _shapley, _ends, _parts, _between)
