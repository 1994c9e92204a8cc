"""Answer on the first screen of the report: how much of the gain by fine-tuning does the frozen backbone reach?"""

from collections.abc import Sequence

from retroscope.analyses.baselines.result import HEAD, BaselineResult
from retroscope.analyses.baselines.words import CODES
from retroscope.analyses.card import Card
from retroscope.analyses.questions import Question
from retroscope.number_format import score
from retroscope.typesetting.frames import alpha, rows
from retroscope.typesetting.statements import Estimate, Kind, State, Statement
from retroscope.typesetting.subject import BEFORE, Subject


def cards(result: BaselineResult, statements: Sequence[Statement], subject: Subject) -> tuple[Card, ...]:
    """Return the short answer (card): the share of the gain by fine-tuning that the frozen backbone reaches.

    It is the share of the backbone's best variant: a pooling, a layer and a transformation of its vectors.
    """
    best = result.bests[-1]
    about = [s for s in statements if s.code == CODES[best]]
    if not about:
        return ()
    (statement,) = about
    how = _how(result, best)
    if statement.state is State.SIGNIFICANT and statement.estimate is not None and statement.estimate.value < 0:
        reached = statement.estimate
        answer = (
            f"All of it: the frozen backbone {how} scores {score(reached.before)}, the retriever {score(reached.after)}"
        )
        return (Card(Question.ALREADY, answer, statement),)
    share = already_there(result, best, subject.measures[0])
    if statement.state is not State.SIGNIFICANT:
        answer = f"Perhaps all: the frozen backbone {how} is not significantly worse"
    elif share is not None:
        answer = f"The frozen backbone {how} reaches"
    else:
        answer = f"The retriever scores above the frozen backbone {how}"
    return (Card(Question.ALREADY, answer, statement, share),)


def _how(result: BaselineResult, best: str) -> str:
    """Return the words that follow "the frozen backbone" and name its best variant.

    They are "itself" (its vectors as they are compared), "with a linear head", or "without training" (another layer,
    pooling or transformation of its vectors).
    """
    choice = result.choice(BEFORE, best)
    if choice["as_compared"]:
        return "itself"
    return "with a linear head" if choice["vectors"] == HEAD else "without training"


def already_there(result: BaselineResult, best: str, measure: str) -> Estimate | None:
    """Return the share of the gain by fine-tuning that the best variant of the frozen backbone reaches.

    Return None if there is no significant gain, or if the share is undefined.

    Args:
        best: label of the best variant: "without training" or "linear head allowed".
    """
    gain = rows(result.gain, measure=measure).iloc[0]
    shares = result.shares[(result.shares["best"] == best) & (result.shares["measure"] == measure)]
    known = shares.dropna(subset=["share"])
    if not (gain["p_corrected"] < alpha(result.gain) and gain["effect"] > 0) or known.empty:
        return None
    left = known.iloc[0]
    return Estimate(
        "of the gain",
        1 - float(left["share"]),
        1 - float(left["high"]),
        1 - float(left["low"]),
        n=int(gain["n"]),
        kind=Kind.SHARE,
    )
