"""Check the controls that say if probes can be trusted: shuffled queries, hash labels and random weights.

The intervals of a control are widened, so that they hold for all combinations of probe, N, layer and model at once
(`typesetting.frames.widened`).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from retroscope.analyses.probes.result import ROUNDING, ProbesResult
from retroscope.number_format import count, interval, score
from retroscope.typesetting.effect_words import side_score
from retroscope.typesetting.frames import PLAIN, alpha, by_side, widened
from retroscope.typesetting.statements import FEWEST, State, Statement
from retroscope.typesetting.subject import AFTER, BEFORE, Subject

CELL = ["probe", "passages", "layer"]
SHUFFLED = "shuffled_queries"
HASHED = "hash_labels"
RANDOM = "random_weights"
RANDOM_TITLE = "Random-weight control"
NAMED: dict[str, Any] = {  # code and name of each control's statements
    control: {"code": control, "control": control.replace("_", " ")} for control in (SHUFFLED, HASHED, RANDOM)
}


def control_statements(result: ProbesResult, subject: Subject) -> list[Statement]:
    """Check every control of the probes, e.g. shuffled queries, and return a conclusion about each.

    Controls that were not run are named. There are no conclusions if no accuracy was measured.
    """
    if result.effect is None:
        return []
    measured = set(result.rows()["control"])
    return [
        statement
        for control, rule in CONTROL_RULES.items()
        for statement in (rule(result, subject) if control in measured else [_not_run(control)])
    ]


def control_cells(result: ProbesResult, control: str) -> pd.DataFrame:
    """Return the accuracies under a control, e.g. shuffled queries: a row for each probe, N, layer and model.

    N is the number of candidates. Intervals are widened to hold for all rows at once. The column "chance" is 1/N.
    "ceiling" is the upper limit of the accuracy of the probe `passage_only`, or chance if that is higher.
    "observations" is how many independent observations a row has: distinct query texts, and with hash labels no more
    than `ProbesResult.independent_examples`.
    """
    if result.effect is None:
        raise ValueError(f"the control {control!r} has no accuracies, because no probe was measured")
    rows = result.rows(control=control)
    cells = widened(by_side(rows, CELL), alpha(result.effect))
    cells["observations"] = min(int(result.effect.table["n"].max()), int(result.effect.method["texts"]))
    if control == HASHED and result.independent_examples:
        cells["observations"] = np.minimum(cells["observations"], cells["passages"].map(result.independent_examples))
    cells = _no_narrower_than_exact(cells, alpha(result.effect))
    blind = by_side(result.rows(control=PLAIN, probe="passage_only"), CELL)
    ceiling = blind.rename(columns={"high": "ceiling"})[["side", "passages", "layer", "ceiling"]]
    cells = cells.merge(ceiling, on=["side", "passages", "layer"], how="left")
    cells["chance"] = 1 / cells["passages"]
    cells["ceiling"] = np.fmax(cells["ceiling"], cells["chance"])
    # where all vectors are one (EOS at layer 0), every choice is worth 1/N: an interval of no width, at chance but for
    # the rounding of a mean
    at_chance = (cells["value"] - cells["chance"]).abs() < ROUNDING
    cells.loc[at_chance, "low"] = np.minimum(cells["low"], cells["chance"])
    cells.loc[at_chance, "high"] = np.maximum(cells["high"], cells["chance"])
    return cells


def _no_narrower_than_exact(cells: pd.DataFrame, error_rate: float) -> pd.DataFrame:
    """Widen intervals to at least the exact binomial ones (Clopper and Pearson 1934), corrected for all rows.

    If a few queries are all answered wrongly, their bootstrap interval has no width, and a control at chance would seem
    to fail. The column "decides" says whether an accuracy of 1 would be above chance.
    """
    n = cells["observations"]
    tail = error_rate / (2 * max(len(cells), 1))
    right = cells["value"] * n
    low = np.where(right <= 0, 0.0, stats.beta.ppf(tail, right, n - right + 1))
    high = np.where(right >= n, 1.0, stats.beta.ppf(1 - tail, right + 1, n - right))
    decides = tail ** (1 / n) > 1 / cells["passages"]
    return cells.assign(low=np.minimum(cells["low"], low), high=np.maximum(cells["high"], high), decides=decides)


def shuffled_statements(result: ProbesResult, subject: Subject) -> list[Statement]:
    """State whether accuracy with shuffled queries is too high: above chance and above a probe that reads no query."""
    cells = control_cells(result, SHUFFLED)
    above = cells[cells["low"] > cells["ceiling"]]
    if len(above):
        return [_alarm(SHUFFLED, above, len(cells), "the accuracy is above chance and above that of passage_only")]
    blind = cells[cells["low"] > cells["chance"]]
    below = cells[cells["high"] < cells["chance"]]
    text = f"Shuffled queries: {_behaves(cells, len(blind) + len(below))}"
    if len(blind):
        text += (
            f" In {count(len(blind), 'combination')}, it is above chance, but not above that of passage_only, which "
            "never reads the query."
        )
    if len(below):
        text += (
            f" In {count(len(below), 'combination')}, it is below chance: the hard negatives look more like relevant "
            "passages there."
        )
    return [Statement("controls", State.MEASURED, text, **NAMED[SHUFFLED])]


def hashed_statements(result: ProbesResult, subject: Subject) -> list[Statement]:
    """State whether probes predict arbitrary (hash) labels of test passages at chance, neither better nor worse."""
    cells = control_cells(result, HASHED)
    off = cells[(cells["low"] > cells["chance"]) | (cells["high"] < cells["chance"])]
    if len(off):
        why = "the accuracy differs from chance, although the labels are arbitrary"
        if not result.independent_examples:
            why += " (this study was measured before shared candidates were counted, so measure it again first)"
        return [_alarm(HASHED, off, len(cells), why)]
    if not cells["decides"].any():
        return [_too_few_labels(cells)]
    text = f"Hash labels: {_behaves(cells, 0)}{_memorised(result, subject)}"
    return [Statement("controls", State.MEASURED, text, **NAMED[HASHED])]


def _too_few_labels(cells: pd.DataFrame) -> Statement:
    text = (
        "Hash labels: the test examples share so many candidates that they are worth only about "
        f"{count(round(cells['observations'].max()), 'independent example')}. That is too few for this control: even "
        "an accuracy of 1 would not be significant. Use more queries, or other hard negatives (--set negatives.how=run "
        "--set negatives.run=FILE)."
    )
    return Statement("controls", State.NOT_SIGNIFICANT, text, caution=True, **NAMED[HASHED])


def _memorised(result: ProbesResult, subject: Subject) -> str:
    """Describe memorisation: the accuracy with arbitrary labels, on the training and the test examples."""
    spread, n = result.seed_spread, result.hardest
    if spread is None:
        return ""
    fits = spread[(spread["control"] == HASHED) & (spread["n_passages"] == n)].dropna(subset=["train_accuracy"])
    if fits.empty:
        return ""
    most = fits.loc[fits["train_accuracy"].idxmax()]
    test = result.rows(control=HASHED, passages=n, probe=most["probe"], layer=most["layer"])
    tested = f" and {score(test.iloc[0][most['side']])} on its test examples" if len(test) else ""
    return (
        f" Memorisation: with these labels, the probe {most['probe']} reaches an accuracy of "
        f"{score(most['train_accuracy'])} on its training examples{tested} (N={n}, chance {score(1 / n)}, layer "
        f"{subject.layer_label(int(most['layer']))}, {most['side']} fine-tuning). No other learned probe reaches a "
        "higher accuracy in training."
    )


def random_statements(result: ProbesResult, subject: Subject) -> list[Statement]:
    """State whether each model is more accurate at its best layer than a copy with random weights is at this layer."""
    return [s for side in (BEFORE, AFTER) for s in _random_of(result, subject, side)]


def _random_of(result: ProbesResult, subject: Subject, side: str) -> list[Statement]:
    by_layer = result.similarity_rows()
    if by_layer.empty:
        return []
    peak = by_layer.loc[by_layer[side].idxmax()]
    random = result.rows(probe=result.similarity, control=RANDOM, passages=result.hardest)
    there = random[random["layer"] == peak["layer"]]
    if there.empty:
        return []
    best = random.loc[random[side].idxmax()]
    return [_beside_random(subject, side, peak, there.iloc[0]), *_beside_best(subject, side, peak, best)]


def _beside_best(subject: Subject, side: str, peak: "pd.Series[float]", best: "pd.Series[float]") -> list[Statement]:
    """Return a caution if random weights may be as accurate at another layer as the model is at its best layer."""
    if best["layer"] == peak["layer"] or best[f"{side}_high"] < peak[f"{side}_low"]:
        return []
    text = (
        f"{RANDOM_TITLE}: random weights reach an accuracy of {score(best[side])} "
        f"{interval(best[f'{side}_low'], best[f'{side}_high'])} at layer {subject.layer_label(int(best['layer']))}, "
        f"and this interval is not below the interval of {subject.side(side).name} at its best layer, "
        f"{subject.layer_label(int(peak['layer']))}. So a model without training may be as accurate."
    )
    return [Statement("controls", State.MEASURED, text, (side,), code=f"{RANDOM}_elsewhere", caution=True)]


def _beside_random(subject: Subject, side: str, peak: "pd.Series[float]", random: "pd.Series[float]") -> Statement:
    model = subject.side(side).name
    number = side_score(random, side, "accuracy of random weights")
    about: Any = {"code": f"{RANDOM}.{side}", "control": f"random weights ({side})", "estimate": number}
    where = f"layer {subject.layer_label(int(peak['layer']))}"
    sizes = (
        f"accuracy {score(peak[side])} {interval(peak[f'{side}_low'], peak[f'{side}_high'])} against "
        f"{score(random[side])} {interval(random[f'{side}_low'], random[f'{side}_high'])} with random weights"
    )
    if random[f"{side}_high"] < peak[f"{side}_low"]:
        text = (
            f"{RANDOM_TITLE}: the similarity probe is more accurate with {model} than with the same architecture with "
            f"random weights at {where} ({sizes})."
        )
        return Statement("controls", State.MEASURED, text, (side,), **about)
    text = (
        f"{RANDOM_TITLE}: the similarity probe is not significantly more accurate with {model} than with the same "
        f"architecture with random weights at {where} ({sizes})."
    )
    undecided = random[side] < peak[side] or peak["n"] < FEWEST
    if undecided:
        text += " The intervals overlap; more queries may separate them."
    state = State.FAILED if side == AFTER and not undecided else State.NOT_SIGNIFICANT
    return Statement("controls", state, text, (side,), title=RANDOM_TITLE, caution=True, **about)


def _alarm(control: str, off: pd.DataFrame, total: int, why: str) -> Statement:
    worst = off.loc[(off["value"] - off["chance"]).abs().idxmax()]
    sides = tuple(sorted(set(off["side"]), reverse=True))
    title = f"CONTROL FAILED ({NAMED[control]['control']})"
    text = (
        f"{title}: in {len(off)} of {count(total, 'combination')} of probe, N, layer and model, {why}. The accuracy "
        f"farthest from chance is {score(worst['value'])} (chance {score(worst['chance'])}), by the probe "
        f"{worst['probe']} {worst['side']} fine-tuning, at layer {worst['layer']}, N={worst['passages']}. Do not trust "
        "the probe results until this is explained."
    )
    return Statement("controls", State.FAILED, text, sides, title=title, **NAMED[control])


def _behaves(cells: pd.DataFrame, exceptions: int) -> str:
    of = "of probe, N, layer and model"
    if exceptions:
        at_chance = f"{len(cells) - exceptions} of {count(len(cells), 'combination')}"
        return f"in {at_chance} {of}, the accuracy is at chance."
    return f"in all {count(len(cells), 'combination')} {of}, the accuracy is at chance, as it must be."


def _not_run(control: str) -> Statement:
    consequence = CONSEQUENCES[control]
    text = f"The control {control} was not run, so {consequence}."
    return Statement("controls", State.NOT_RUN, text, (), caution=True, **NAMED[control])


CONTROL_RULES: dict[str, Callable[[ProbesResult, Subject], list[Statement]]] = {
    SHUFFLED: shuffled_statements,
    HASHED: hashed_statements,
    RANDOM: random_statements,
}
CONSEQUENCES = {
    SHUFFLED: "there is no evidence that the probes read the query",
    HASHED: "it is unknown how much the probes could memorise",
    RANDOM: "it is unknown how accurate the same architecture without training is",
}
