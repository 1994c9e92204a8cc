"""Figure of the words that vectors decode to, by layer."""

import altair as alt

from retroscope.analyses.vocabulary.result import VocabularyResult
from retroscope.statistics import Difference
from retroscope.typesetting.charts.curves import Selector, choosing, curves, facets, layer_axis
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.frames import by_side, rows
from retroscope.typesetting.subject import Subject


def vocabulary_figure(result: VocabularyResult, effect: Difference, subject: Subject) -> Figure:
    """Draw, by layer, the share of decoded words that occur in the text, and that query and passage have in common."""
    frame = by_side(rows(effect), ["layer", "quantity"]).rename(columns={"side": "series"})
    frame["line"] = frame["series"]
    quantities = list(dict.fromkeys(frame["quantity"]))
    y = alt.Y("value:Q", title="share of the words", scale=alt.Scale(zero=True))
    panel = curves(layer_axis(subject.layer_names), frame, y)
    return Figure(
        "vocabulary",
        "Words that vectors decode to",
        "The backbone's language-model head projects the pooled vector of each layer onto the vocabulary; the "
        f"{result.k} most probable tokens are the words that the vector decodes to. The figure shows which share of "
        "these words occur in the text, and which share a query and a passage have in common. Bands are confidence "
        "intervals over queries.",
        "Shares of the words that vectors decode to, by layer, before and after fine-tuning",
        choosing(panel, frame, [Selector("quantity", "share", quantities[2])]),
        facets(panel, frame, "quantity", quantities, columns=2),
    )
