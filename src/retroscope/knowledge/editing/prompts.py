"""Convert facts to prompts for editing: tokens of the cloze, tokens of the object, and the subject's last token."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from retroscope.collection.bm25 import UNSPACED
from retroscope.collection.facts.records import MASK, Fact
from retroscope.encoders.checkpoints.language_heads import Prediction
from retroscope.encoders.encode import TokenIds
from retroscope.errors import AnalysisError
from retroscope.knowledge.clozes import answered

LETTER = re.compile(rf"[^\W_{UNSPACED}]")  # a letter or digit of a script with spaces between words
CONTEXT_WORDS = 10  # of a neutral text before a cloze (Meng et al. 2022: 5 to 10 tokens)


@dataclass(frozen=True)
class Prompt:
    """Model input of one cloze of a fact, with or without a context before it.

    Attributes:
        ids: token ids of the input.
        at: positions whose states predict the tokens of the object.
        tokens: token ids of the object.
        subject: position of the last token of the subject.
    """

    ids: TokenIds
    at: tuple[int, ...]
    tokens: tuple[int, ...]
    subject: int


@dataclass(frozen=True)
class Request:
    """The prompts of all facts about one subject. These facts are edited together, because they have one key.

    The key is the input of the edited matrix at the subject's last token.

    Attributes:
        subject: the subject.
        facts: the prompts of each fact: the first prompt has no context, each other one a context before it.
    """

    subject: str
    facts: tuple[tuple[Prompt, ...], ...]

    @property
    def prompts(self) -> list[Prompt]:
        """Return the prompts of all facts about the subject, in one list."""
        return [prompt for prompts in self.facts for prompt in prompts]


def requests_of(
    tokenizer: PreTrainedTokenizerBase, kind: Prediction, facts: Sequence[Fact], contexts: Sequence[str] = ()
) -> list[Request]:
    """Group facts by subject, and return one editing request (the prompts of its facts) for each subject.

    The requests are in the order in which their subjects first occur.

    Args:
        kind: "masked" or "causal", how the model predicts tokens.
        contexts: texts that are put before the clozes. Each cloze also has a prompt without a context.

    Raises:
        AnalysisError: if a fact cannot be edited: see `prompt_of`.
    """
    grouped: dict[str, list[tuple[Prompt, ...]]] = {}
    for fact in facts:
        prompts = tuple(prompt_of(tokenizer, kind, fact, before) for before in ("", *contexts))
        grouped.setdefault(fact.subject, []).append(prompts)
    return [Request(subject, tuple(prompts)) for subject, prompts in grouped.items()]


def contexts_of(texts: Sequence[str], facts: Sequence[Fact], number: int) -> list[str]:
    """Return up to `number` contexts for prompts: the first words of texts that contain no subject of the facts."""
    subjects = {fact.subject.casefold() for fact in facts}
    beginnings: dict[str, None] = {}
    for text in texts:
        if len(beginnings) >= number:
            break
        if MASK not in text and not any(subject in text.casefold() for subject in subjects):
            words = " ".join(text.split()[:CONTEXT_WORDS])
            beginnings[f"{words} " if words.endswith((".", "!", "?")) else f"{words}. "] = None
    return list(beginnings)


def prompt_of(tokenizer: PreTrainedTokenizerBase, kind: Prediction, fact: Fact, before: str = "") -> Prompt:
    """Return the prompt of a fact's cloze, after the text `before`.

    Raises:
        AnalysisError: if the subject is in the cloze only as a part of other words, if the tokenizer does not know a
            word of subject or object, or if the model is causal and the subject comes after the object, where it has no
            effect on the prediction.
    """
    cloze = before + fact.cloze
    text = cloze.replace(MASK, fact.object, 1)
    blank = cloze.index(MASK)
    encoded = tokenizer(text, return_offsets_mapping=True)
    start = _subject_start(fact, before, text, encoded["offset_mapping"])
    if kind == "causal" and start > blank:
        raise AnalysisError(
            f"the cloze {fact.cloze!r} names the subject {fact.subject!r} after the object",
            fix="write a cloze that names the subject before the object, as a causal model needs",
        )
    parts = answered(tokenizer, cloze, fact.object)
    end = start + len(fact.subject)
    named = [at for at, (a, b) in enumerate(encoded["offset_mapping"]) if a < end and b > start and b > a]
    known = tokenizer.unk_token_id
    if known is not None and known in [*parts.object, *(encoded["input_ids"][at] for at in named)]:
        raise AnalysisError(
            f"the tokenizer has no token for a word of the subject {fact.subject!r} or the object {fact.object!r}",
            fix="remove this fact, because all unknown words look the same to the model",
        )
    first, size = len(parts.before), len(parts.object)
    if kind == "causal":
        ids = [*parts.before, *parts.object[:-1]]
        return Prompt(ids, tuple(range(first - 1, first - 1 + size)), parts.object, max(named))
    ids = [*parts.before, *[int(tokenizer.mask_token_id)] * size, *parts.after]
    return Prompt(ids, tuple(range(first, first + size)), parts.object, max(named))


def _subject_start(fact: Fact, before: str, text: str, spans: Sequence[tuple[int, int]]) -> int:
    """Return the index of the first character of the subject in the text, where the subject occurs as whole words.

    Args:
        before: text before the cloze.
        text: `before` and the cloze, with the object inserted.
        spans: character index of the beginning and of the end of every token in the text.

    Raises:
        AnalysisError: if the subject occurs only as a part of other words.
    """
    blank, size = fact.cloze.index(MASK), len(fact.subject)
    for match in re.finditer(f"(?={re.escape(fact.subject)})", fact.cloze):
        at = match.start()
        moved = len(fact.object) - len(MASK) if at > blank else 0
        start = len(before) + at + moved
        beside_the_blank = at + size <= blank or at >= blank + len(MASK)
        if beside_the_blank and _is_word(text, start, start + size, spans):
            return start
    raise AnalysisError(
        f"the cloze {fact.cloze!r} has the subject {fact.subject!r} only as a part of other words",
        where=f"fact {fact.id}",
        fix="write the subject into the cloze as a word of its own, spelt as in `subject`, or remove the fact",
    )


def _is_word(text: str, start: int, end: int, spans: Sequence[tuple[int, int]]) -> bool:
    """Return whether the characters `start` to `end` of a text are whole words.

    There must be no letter or digit directly before or after them, and none of their tokens may contain letters or
    digits from outside. In scripts without spaces between words, only the second condition applies.

    Args:
        spans: character index of the beginning and of the end of every token in the text.
    """
    if any(len(LETTER.findall(text[max(0, at - 1) : at + 1])) == 2 for at in (start, end)):
        return False
    tokens = [(a, b) for a, b in spans if a < end and b > start]
    return not any(letter.isalnum() for a, b in tokens for letter in text[a:start] + text[end:b])
