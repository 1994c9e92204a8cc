"""Tables of the words that vectors decode to: shares by layer, and correlations with retrieval."""

import pandas as pd

from retroscope.analyses.vocabulary.result import VocabularyResult
from retroscope.analyses.vocabulary.words import associated_rows
from retroscope.number_format import score
from retroscope.typesetting.effect_tables import effects_by_layer, pair
from retroscope.typesetting.frames import rows
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.subject import Subject


def vocabulary_tables(result: VocabularyResult, subject: Subject) -> dict[str, PaperTable]:
    """Return tables of the shares of decoded words by layer and, if measured, of the correlations with retrieval."""
    tables = {"vocabulary": _shares(result, subject)}
    if result.associated:
        frame = pd.DataFrame(associated_rows(result), columns=["pairs", "rank correlation", "p", "texts"])
        caption = (
            f"Rank correlation of the change of the word overlap with the change of {result.measure}, over query texts"
        )
        tables["vocabulary_associated"] = PaperTable(frame, caption, "", ("rank correlation", "p", "texts"))
    return tables


def _shares(result: VocabularyResult, subject: Subject) -> PaperTable:
    caption = f"Shares of the words of the {result.k} tokens that a vector decodes to, by layer, on {result.collection}"
    if result.effect is not None:
        frame = rows(result.effect)
        table = effects_by_layer(subject, result.effect, frame, f"{caption}: {pair(subject)}.")
        table.frame.insert(0, "share", frame["quantity"])
        return table
    (scores,) = result.scores.values()
    means = scores.mean().to_series().rename("mean").reset_index()
    frame = pd.DataFrame(
        {
            "share": means["quantity"],
            "layer": [subject.layer_label(int(layer)) for layer in means["layer"]],
            "mean": [score(value) for value in means["mean"]],
        }
    )
    return PaperTable(frame, caption, "", ("mean",))
