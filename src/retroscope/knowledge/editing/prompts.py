"""A fact as a prompt: the tokens of its cloze, those that must follow, and the last token of the subject."""

from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from retroscope.collection.facts.records import MASK, Fact
from retroscope.encoders.checkpoints.language_heads import Prediction
from retroscope.encoders.encode import TokenIds
from retroscope.errors import AnalysisError
from retroscope.knowledge.clozes import answered


@dataclass(frozen=True)
class Prompt:
    """One cloze of a fact with its object.

    Attributes:
        ids: input of the model.
        at: positions whose states predict the object.
        tokens: of the object.
        subject: position of the last token of the subject.
    """

    ids: TokenIds
    at: tuple[int, ...]
    tokens: tuple[int, ...]
    subject: int


def prompt_of(tokenizer: PreTrainedTokenizerBase, kind: Prediction, fact: Fact) -> Prompt:
    """Return the prompt of a fact's cloze.

    Raises:
        AnalysisError: if the subject comes after the object, where a causal model cannot see it.
    """
    parts = answered(tokenizer, fact.cloze, fact.object)
    text = fact.cloze.replace(MASK, fact.object, 1)
    blank = fact.cloze.index(MASK)
    start = fact.cloze.index(fact.subject)
    start += (len(fact.object) - len(MASK)) if start > blank else 0
    if kind == "causal" and start > blank:
        raise AnalysisError(
            f"the cloze {fact.cloze!r} names its subject after the object",
            fix="give a cloze that names the subject first",
        )
    spans = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    end = start + len(fact.subject)
    subject = max(at for at, (a, b) in enumerate(spans) if a < end and b > start and b > a)
    first, size = len(parts.before), len(parts.object)
    if kind == "causal":
        ids = [*parts.before, *parts.object[:-1]]
        return Prompt(ids, tuple(range(first - 1, first - 1 + size)), parts.object, subject)
    ids = [*parts.before, *[int(tokenizer.mask_token_id)] * size, *parts.after]
    return Prompt(ids, tuple(range(first, first + size)), parts.object, subject)
