"""Tables of the baselines: the retriever's gain over the frozen backbone, and the backbone's best layers."""

import pandas as pd

from retroscope.analyses.baselines.result import BM25, BaselineResult
from retroscope.analyses.baselines.words import share_left
from retroscope.number_format import interval, score
from retroscope.typesetting.effect_tables import NUMERIC, explained, printed_effects
from retroscope.typesetting.frames import rows
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.subject import AFTER, BEFORE, Subject

LEFT = "share not reached by the backbone"


def baseline_tables(result: BaselineResult, subject: Subject) -> dict[str, PaperTable]:
    """Return two tables: the gain over the best variants of the frozen backbone, and the best layer of each pooling."""
    frame = rows(result.left)
    printed = printed_effects(result.left, frame)
    printed.insert(0, "best variant", frame["best"])
    printed.insert(1, "measure", frame["measure"])
    shares = result.shares.set_index(["best", "measure"])
    printed[LEFT] = [share_left(shares.loc[key]) for key in zip(frame["best"], frame["measure"], strict=True)]
    note = (
        "Before: the best variant of the backbone; it is chosen on some queries and scored on others. After: the "
        f"retriever. {LEFT.capitalize()}: the share of the gain by fine-tuning that this variant does not reach, with "
        f"Fieller's interval. {explained(result.left)}"
    )
    caption = "Gain of the retriever over the best variant of its backbone"
    return {
        "baseline_gains": PaperTable(printed, caption, note, (*NUMERIC, LEFT)),
        "baseline_variants": _layers(result, subject),
    }


def _layers(result: BaselineResult, subject: Subject) -> PaperTable:
    """Return a table of scores at the last and at the best layer, by model, pooling and kind of vectors."""
    mine = result.variants[result.variants["measure"] == subject.measures[0]]
    printed = []
    for (model, pooling, vectors), group in mine.groupby(["model", "pooling", "vectors"], sort=False):
        last, top = group.loc[group["layer"].idxmax()], group.loc[group["mean"].idxmax()]
        label = "" if model == BM25 else subject.layer_label(int(top["layer"]))
        printed.append((model, pooling, vectors, _value(last), label, _value(top)))
    columns = ["model", "pooling", "vectors", "last layer", "best layer", "at the best layer"]
    note = (
        "The score of the best layer is the maximum over all layers, so it is slightly too high. The statements above "
        "use a layer that was chosen on other queries."
    )
    caption = f"{subject.measures[0]} of the frozen vectors ({BEFORE}: backbone, {AFTER}: retriever)"
    return PaperTable(
        pd.DataFrame(printed, columns=columns), caption, note, ("last layer", "best layer", "at the best layer")
    )


def _value(row: "pd.Series[float]") -> str:
    return f"{score(row['mean'])} {interval(row['ci_low'], row['ci_high'])}"
