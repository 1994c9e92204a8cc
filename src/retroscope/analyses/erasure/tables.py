"""Table of erasure: at each layer, whether relevance is readable and whether retrieval uses it."""

from typing import Any

import pandas as pd

from retroscope.analyses.erasure.result import ErasureResult
from retroscope.number_format import interval, p_number, percent, score, signed
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.subject import Subject


def erasure_table(result: ErasureResult, subject: Subject) -> PaperTable:
    """Return a table of the probe's accuracy and the loss of retrieval by erasure, by model, layer and rank."""
    table = result.table
    used = f"used: loss of {result.measure} beyond random subspaces"
    frame = pd.DataFrame(
        {
            "side": table["side"],
            "layer": [subject.layer_label(int(layer)) for layer in table["layer"]],
            "rank": [str(rank) for rank in table["rank"]],
            "readable": [f"{score(r.readable)} {interval(r.readable_low, r.readable_high)}" for r in _each(table)],
            "readable, erased": [score(value) for value in table["readable_erased"]],
            used: [f"{signed(-r.beyond)} {interval(-r.ci_high, -r.ci_low, effect=True)}" for r in _each(table)],
            "verdict": table["use"],
            "p (holm)": [p_number(p) for p in table["p_corrected"]],
            **{name: [score(value) for value in table[name]] for name in ("intact", "erased", "random")},
            "equal variance": [score(value) for value in table["variance"]],
            "removed": [percent(value) for value in table["removed"]],
            "held-out correlation": [_shared(row) for row in _each(table)],
            "shuffled": [signed(-value) for value in table["shuffled_beyond"]],
        }
    )
    note = (
        f"Readable: accuracy of the probe on held-out queries (chance {score(result.chance)}), before and after "
        "erasure. Rank: number of erased directions. Used: loss of retrieval by erasure beyond the loss by erasing "
        "random subspaces of equal rank; its interval is over queries and random subspaces. p (holm): the largest p of "
        "four tests. There are two controls (random subspaces of equal rank, and of equal rank and variance), each "
        "tested over queries and over subspaces. Unclear: the loss is significant only against subspaces of equal "
        "rank. Inconclusive: the accuracy of the probe does not fall significantly, or random subspaces remove more "
        "than half of the score, or the held-out correlation is no higher than that of shuffled pairs. Intact: "
        f"{result.measure} of the intact model. Erased, random, equal variance: {result.measure} after erasing the "
        "directions, a random subspace of equal rank, or one of equal rank and variance. Removed: share of the "
        "variance that erasure removes. Held-out correlation: correlation of queries and passages along the erased "
        "directions; 5 % of shuffled pairings exceed the value in brackets. Shuffled: loss by erasing the "
        "directions of shuffled pairs, beyond the loss by erasing random subspaces."
    )
    caption = f"Layers at which relevance is readable, and layers at which retrieval uses it, on {result.collection}"
    return PaperTable(frame, caption, note, tuple(frame.columns[3:]))


def _shared(row: "pd.Series[Any]") -> str:
    known = row["shared"] == row["shared"]
    return f"{row['shared']:.2f} ({row['shared_shuffled']:.2f})" if known else "n/a"


def _each(frame: pd.DataFrame) -> list[pd.Series]:
    return [row for _, row in frame.iterrows()]
