"""Tables of weight transplants: all effects, the comparison with random changes, and interactions of groups.

A new number is computed in `infer`, kept in `result` and printed here.
"""

from typing import Any

import pandas as pd

from retroscope.analyses.transplants.result import TransplantEffects
from retroscope.analyses.transplants.words import WEIGHTS
from retroscope.number_format import (
    count,
    exact_percent,
    interval,
    marks,
    p_number,
    p_value,
    percent_interval,
    score,
    signed,
)
from retroscope.typesetting.effect_words import effect_limits
from retroscope.typesetting.frames import correction
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.subject import AFTER, BEFORE, Subject

TABLE_COLUMNS = ("direction", "transplant", "kind", "number", "measure", "intact", "score", "low", "high", "effect",
                 "ci_low", "ci_high", "p", "p_corrected", "n", "share", "share_low", "share_high")  # fmt: skip

BEATS = {True: "yes", False: "no", None: ""}


def effects_frame(f: TransplantEffects) -> pd.DataFrame:
    """Return the unformatted table of all effects, for files and JSON, with the columns `TABLE_COLUMNS`."""
    return f.table()[list(TABLE_COLUMNS)]


def transplant_tables(f: TransplantEffects, subject: Subject) -> dict[str, PaperTable]:
    """Return name -> table on the headline measure: all transplants, random changes, interactions, training runs."""
    effects = f.table()
    effects = effects[effects["measure"] == f.measures[0]]
    corrected = f"p ({correction(next(iter(f.differences.values())))})"
    frame = pd.DataFrame(
        {
            "direction": effects["direction"],
            "transplant": effects["transplant"],
            f.measures[0]: [score(v) for v in effects["score"]],
            "effect": [signed(v) for v in effects["effect"]],
            "interval": [effect_limits(r) for _, r in effects.iterrows()],
            "share": [_share(r) for _, r in effects.iterrows()],
            corrected: [p_number(p) for p in effects["p_corrected"]],
        }
    )
    note = (
        "restored: the backbone's weights are put into the retriever. grafted: the retriever's weights are put into "
        "the backbone. An effect is the hybrid's score minus the score of the unchanged model that received the "
        "weights. Share: the effect, divided by the effect of all weights. The intervals of the effects are not "
        "corrected for the number of transplants; p is corrected over all transplants of the same direction (restored "
        "or grafted)."
    )
    caption = f"Transplants of weights between {subject.before.name} and {subject.after.name}, on {f.collection}"
    tables = {
        "transplants": PaperTable(frame, caption, note, (f.measures[0], "effect", "interval", "share", corrected))
    }
    return tables | _control_table(f) | _block_table(f) | _interaction_tables(f) | _training_table(f)


def _share(row: "pd.Series[Any]") -> str:
    return percent_interval(row["share"], row["share_low"], row["share_high"])


def _control_table(f: TransplantEffects) -> dict[str, PaperTable]:
    """Return the table that compares single blocks and parts with random changes of equal size."""
    controls = f.controls[f.controls["measure"] == f.measures[0]]
    if controls.empty:
        return {}
    frame = pd.DataFrame(
        {
            "direction": controls["direction"],
            "transplant": controls["transplant"],
            "effect": [signed(v) for v in controls["effect"]],
            "random": [signed(v) for v in controls["random"]],
            "lowest, highest": [_limits(r, "random_lowest", "random_highest") for _, r in controls.iterrows()],
            "difference": [
                f"{signed(r['extra'])} {_limits(r, 'extra_low', 'extra_high')}" for _, r in controls.iterrows()
            ],
            "p (queries)": [p_value(p) for p in controls["p_queries"]],
            "p (draws)": [p_value(p) for p in controls["p_draws"]],
            "p (both, Holm)": [p_value(p) for p in controls["p_corrected"]],
            "beats": ["yes" if b else "no" for b in controls["beats"]],
        }
    )  # fmt: skip
    note = (
        f"Effects are differences of {f.measures[0]}. Random: mean effect of random changes, for which every "
        "transplanted tensor is moved in a random direction by the norm of its change in fine-tuning. Difference: the "
        "effect of the transplant minus the mean effect of the random changes, paired by query. p (queries): test of "
        "this difference. p (draws): test whether the transplant could be one more random change. p (both, Holm): both "
        "tests together, corrected over the transplants. Beats: yes if p (both, Holm) is significant."
    )
    caption = "Effect of transplanting one block, group of blocks or part, and of random changes of equal size"
    return {"random_changes": PaperTable(frame, caption, note, ("effect", "random"))}


def _block_table(f: TransplantEffects) -> dict[str, PaperTable]:
    """Return the table of single blocks of the groups that were split, or {} if no group was split."""
    if f.single_blocks is None:
        return {}
    blocks = f.single_blocks.effects
    blocks = blocks[blocks["measure"] == f.measures[0]]
    controls = f.single_blocks.controls
    beats = controls[controls["measure"] == f.measures[0]].set_index(["direction", "transplant"])["beats"].to_dict()
    frame = pd.DataFrame(
        {
            "direction": blocks["direction"],
            "group": blocks["group"],
            "transplant": blocks["transplant"],
            f.measures[0]: [score(v) for v in blocks["score"]],
            "effect": [signed(v) for v in blocks["effect"]],
            "interval": [effect_limits(r) for _, r in blocks.iterrows()],
            "share": [_share(r) for _, r in blocks.iterrows()],
            "p (Holm)": [p_number(p) for p in blocks["p_corrected"]],
            "beats": [BEATS[beats.get((r["direction"], r["transplant"]))] for _, r in blocks.iterrows()],
        }
    )
    note = (
        "Only groups whose transplant has a significant effect are split. p (Holm) is corrected over all blocks of all "
        "groups of the same direction (restored or grafted); blocks of other groups count as tests with p = 1. Beats: "
        "yes if the effect is significantly larger than that of random changes of equal size; empty if it was not "
        "compared with them."
    )
    caption = "Effect of transplanting single blocks of the groups with a significant effect"
    return {"single_blocks": PaperTable(frame, caption, note, (f.measures[0], "effect", "interval", "share"))}


def _training_table(f: TransplantEffects) -> dict[str, PaperTable]:
    """Return the table of the effects of transplants over several training runs, or {} if there is only one run."""
    over = f.over_trainings
    if over is None:
        return {}
    what, where = WEIGHTS[over.direction]
    places = over.places[over.places["measure"] == f.measures[0]]
    frame = pd.DataFrame(
        {
            "transplant": places["transplant"],
            "intact": [score(v) for v in places[BEFORE]],
            f.measures[0]: [score(v) for v in places[AFTER]],
            "effect": [signed(r["effect"]) + marks(r["p_corrected"], over.alpha) for _, r in places.iterrows()],
            "interval": [effect_limits(r) for _, r in places.iterrows()],
            "p": [p_number(p) for p in places["p_corrected"]],
            "sd over trainings": [score(v) for v in places["spread"]],
        },
        dtype=object,
    )
    note = (
        f"{what.capitalize()} are put into {where}. Trainings: {', '.join(over.names)}. Means and intervals ("
        f"{exact_percent(over.level)}) are over the trainings and their queries together; p is corrected over the rows "
        f"(Holm). Random changes of equal size were made in {over.names[0]} alone. *, **, ***: p below {over.alpha:g}, "
        f"{over.alpha / 5:g}, {over.alpha / 50:g}."
    )
    caption = f"Transplants over {count(len(over.names), 'training')}, on {f.collection}"
    return {"transplants_trainings": PaperTable(frame, caption, note, tuple(frame.columns[1:]))}


def _limits(row: "pd.Series[Any]", low: str, high: str) -> str:
    return interval(row[low], row[high], effect=True)


def _interaction_tables(f: TransplantEffects) -> dict[str, PaperTable]:
    tables = {}
    for direction, groups in f.interactions.items():
        what, where = WEIGHTS[direction]
        note = (
            f"{what.capitalize()} are put into {where}, and the measure is {f.measures[0]}. Intervals are over "
            "queries; p is corrected over the rows."
        )
        shapley = _effects(groups.shapley).assign(
            alone=[signed(v) for v in groups.shapley["alone"]], share=[_share(r) for _, r in groups.shapley.iterrows()]
        )
        caption = "Shapley values of groups of weights"
        values = (
            "Effect: Shapley value of the group. Alone: effect of transplanting this group alone. Share: Shapley "
            "value, divided by the effect of all weights."
        )
        tables["shapley"] = PaperTable(shapley, caption, f"{note} {values}", ("effect", "interval", "alone"))
        both = "Effect: effect of transplanting both groups, minus the sum of their effects alone."
        caption = "Interactions between two groups of weights"
        tables["pairs"] = PaperTable(_effects(groups.pairs), caption, f"{note} {both}", ("effect", "interval"))
    return tables


def _effects(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the first column of the rows, with effect, interval and corrected p as text."""
    return pd.DataFrame(
        {
            rows.columns[0]: rows.iloc[:, 0],
            "effect": [signed(v) for v in rows["effect"]],
            "interval": [effect_limits(r) for _, r in rows.iterrows()],
            "p": [p_value(p) for p in rows["p_corrected"]],
        }
    )
