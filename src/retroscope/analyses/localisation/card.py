"""Answer on the first screen of the report: which block does retrieval need, or which block suffices?"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from retroscope.analyses.card import Card
from retroscope.analyses.localisation.result import BLOCKS, LocalisationResult
from retroscope.analyses.questions import Question
from retroscope.surgery.transplant import GRAFTED, RESTORED
from retroscope.typesetting.places import place_words
from retroscope.typesetting.statements import Estimate, Kind, Statement

CLAIMS = {  # direction, and whether its total effect is a gain -> what the block does that does most, and none does
    (RESTORED, False): (
        "restoring the backbone's {} in the retriever harms retrieval most",
        "no evidence that any single block is needed",
    ),
    (GRAFTED, True): (
        "grafting the retriever's {} into the backbone improves retrieval most",
        "no evidence that any single block suffices",
    ),
    (RESTORED, True): (
        "restoring the backbone's {} in the retriever improves retrieval most",
        "no evidence that any single block harms retrieval",
    ),
    (GRAFTED, False): (
        "grafting the retriever's {} into the backbone harms retrieval most",
        "no evidence that any single block harms the backbone",
    ),
}


def cards(result: LocalisationResult, statements: Sequence[Statement]) -> tuple[Card, ...]:
    """Return the short answer (card) that names the block with the largest effect on retrieval.

    It is the block with the largest significant effect in the first direction that has one. By default, the backbone's
    weights restored in the retriever come first, then the retriever's weights grafted into the backbone. A card makes
    one claim, so it has only the number of that claim. The section reports both directions. If no block is significant
    in either direction, the card says so.
    """
    blocks = result.most[result.most["kind"] == BLOCKS]
    by_code = {s.code: s for s in statements}
    about = [(row, by_code[f"{row['direction']}.{BLOCKS}"]) for _, row in blocks.iterrows()]
    if not about:
        return ()
    explained = [claim for claim in about if claim[0]["explained"]]
    if not explained:
        return (Card(Question.WHERE, "Unknown: transplanting all weights has no significant effect", about[0][1]),)
    significant = [claim for claim in explained if claim[0]["significant"]]
    answer = "; ".join(_claim(row) for row, _ in significant[:1] or explained)
    row, statement = (significant or explained)[0]
    return (Card(Question.WHERE, answer[:1].upper() + answer[1:], statement, _share(row)),)


def _claim(row: "pd.Series[Any]") -> str:
    one, none = CLAIMS[str(row["direction"]), bool(row["sign"] > 0)]
    return one.format(place_words(str(row["place"]))) if row["significant"] else none


def _share(row: "pd.Series[Any]") -> Estimate | None:
    """Return the share of the total effect as an estimate, or None where the share is unknown."""
    share, low, high = (float(row[name]) for name in ("share", "share_low", "share_high"))
    fell = (row["sign"] > 0) == (row["direction"] == RESTORED)  # restoring the backbone gains what fine-tuning lost
    number = Estimate(f"of the {'loss' if fell else 'gain'}", share, low, high, kind=Kind.SHARE)
    return number if number.has_interval else None
