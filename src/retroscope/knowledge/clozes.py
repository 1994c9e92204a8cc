"""Tokenise clozes: the tokens before and after the object, and the tokens of each candidate object.

A masked model reads the cloze with a mask for each token of the object, and predicts all of them at once. A causal
model reads the cloze up to the object, then its tokens one by one. An object of several tokens has the mean of their
log-probabilities, so that long objects are not at a disadvantage.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int
from transformers import PreTrainedTokenizerBase

from retroscope.collection.facts.records import MASK, Fact
from retroscope.encoders.checkpoints.language_heads import Prediction
from retroscope.encoders.encode import TokenIds
from retroscope.errors import AnalysisError
from retroscope.knowledge.states import ReadInput


@dataclass(frozen=True)
class Answered:
    """A tokenised cloze with an object: tokens before the object, of the object, and after it."""

    before: TokenIds
    object: tuple[int, ...]
    after: TokenIds


def answered(tokenizer: PreTrainedTokenizerBase, cloze: str, answer: str) -> Answered:
    """Tokenise a cloze with an object inserted, including special tokens.

    Raises:
        AnalysisError: if the tokenizer cannot say which tokens the object has.
    """
    start = cloze.index(MASK)
    end = start + len(answer)
    encoded = tokenizer(cloze.replace(MASK, answer, 1), return_offsets_mapping=True)
    ids, spans = encoded["input_ids"], encoded["offset_mapping"]
    inside = [at for at, (a, b) in enumerate(spans) if a < end and b > start and b > a]
    if not inside:
        raise AnalysisError(
            f"the tokenizer produces no token for the object {answer!r}", fix="remove the facts with this object"
        )
    first, last = inside[0], inside[-1] + 1
    return Answered(list(ids[:first]), tuple(ids[first:last]), list(ids[last:]))


@dataclass(frozen=True, eq=False)
class RelationClozes:
    """The tokenised facts of one relation with one wording, and the candidate objects.

    Attributes:
        rows: positions of the facts in their set.
        subjects: subject of each fact.
        contexts: contexts of each fact, with its own object.
        objects: the distinct objects of the relation, which are its candidates.
        tokens: tokens of each object.
        answers: index of each fact's object in `objects`.
        right: [fact, object], True for other correct answers, which are no competitors.
        kind: what the model predicts, see `LanguageHead.kind`.
        mask: id of the mask token; of a causal model it is not used.
    """

    rows: tuple[int, ...]
    subjects: tuple[str, ...]
    contexts: tuple[Answered, ...]
    objects: tuple[str, ...]
    tokens: tuple[tuple[int, ...], ...]
    answers: Int[np.ndarray, "fact"]
    right: Bool[np.ndarray, "fact object"]
    kind: Prediction
    mask: int

    @cached_property
    def twins(self) -> Bool[np.ndarray, "fact object"]:
        """Mark the competitors of each fact's answer that have the same tokens, which no model can distinguish."""
        numbers = {tokens: number for number, tokens in enumerate(dict.fromkeys(self.tokens))}
        kinds = np.array([numbers[tokens] for tokens in self.tokens])
        twins: np.ndarray = (kinds[self.answers][:, None] == kinds) & ~self.right
        twins[np.arange(len(self.answers)), self.answers] = False
        return twins

    @cached_property
    def inserts(self) -> tuple[tuple[int, ...], ...]:
        """Return the token sequences that replace the object in a fact's inputs: masks, or prefixes of the objects."""
        if self.kind == "masked":
            return tuple((self.mask,) * size for size in sorted({len(one) for one in self.tokens}))
        return tuple(sorted({one[:k] for one in self.tokens for k in range(len(one))}, key=lambda t: (len(t), t)))

    @cached_property
    def points(self) -> dict[tuple[tuple[int, ...], int], int]:
        """Map (insert, index in it) to the number of the state that predicts the token of the object there."""
        if self.kind == "causal":
            return {(insert, len(insert)): number for number, insert in enumerate(self.inserts)}
        pairs = [(insert, k) for insert in self.inserts for k in range(len(insert))]
        return {pair: number for number, pair in enumerate(pairs)}

    @cached_property
    def steps(self) -> Int[np.ndarray, "object step 2"]:
        """Return the (state number, token) pairs for the tokens of every object; -1 beyond its last token."""
        steps = np.full((len(self.objects), max(map(len, self.tokens)), 2), -1, dtype=np.int64)
        for row, tokens in enumerate(self.tokens):
            for k, token in enumerate(tokens):
                insert = (self.mask,) * len(tokens) if self.kind == "masked" else tokens[:k]
                steps[row, k] = self.points[insert, k], token
        return steps

    def context(self, fact: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return what the model sees of a fact's cloze: the tokens before the object and, if it is masked, after it.

        For the model, wordings with equal contexts are one wording.
        """
        context = self.contexts[fact]
        return tuple(context.before), tuple(context.after) if self.kind == "masked" else ()

    def places(self, fact: int) -> list[ReadInput]:
        """Return the model inputs of one fact, with the positions to read, in the order of `points`."""
        context = self.contexts[fact]
        before = context.before
        if self.kind == "causal":
            return [ReadInput([*before, *insert], (len(before) + len(insert) - 1,)) for insert in self.inserts]
        return [
            ReadInput([*before, *insert, *context.after], tuple(range(len(before), len(before) + len(insert))))
            for insert in self.inserts
        ]


def relation_clozes(
    tokenizer: PreTrainedTokenizerBase, kind: Prediction, facts: Sequence[tuple[int, Fact]], wording: int
) -> RelationClozes | None:
    """Tokenise the facts of one relation with a wording that this kind of model can read.

    A causal model reads only the words before the object, so the subject must be among them. An object may have other
    tokens at the beginning of a cloze than within it. The tokens of the more frequent kind of cloze are used. Facts in
    whose cloze the object has other tokens are left out. Facts without a competitor, whose answer is always first, are
    left out, too. The objects of all these facts remain candidates.

    Args:
        facts: (place in the set, fact).
        wording: 0 for the cloze, k for the k-th paraphrase.

    Returns:
        None if no fact has such a wording.
    """
    asked = [(row, fact, fact.clozes[wording]) for row, fact in facts if wording < len(fact.clozes)]
    if kind == "causal":
        asked = [one for one in asked if one[1].subject in one[2].partition(MASK)[0]]
    objects = tuple(dict.fromkeys(fact.object for _, fact in facts))
    if not asked:
        return None
    begins = [cloze.startswith(MASK) for _, _, cloze in asked]
    usual = asked[begins.index(2 * sum(begins) > len(begins))][2]  # an object has other tokens at the very beginning
    table = [answered(tokenizer, usual, one).object for one in objects]
    number = {one: at for at, one in enumerate(objects)}
    read = [(row, fact, answered(tokenizer, cloze, fact.object)) for row, fact, cloze in asked]
    answers = right_answers([fact for _, fact in facts])
    rivalled = [one for one in read if number.keys() - answers[one[1].id]]
    kept = [one for one in rivalled if one[2].object == table[number[one[1].object]] and one[2].before]
    if not kept:
        return None
    return RelationClozes(
        rows=tuple(row for row, _, _ in kept),
        subjects=tuple(fact.subject for _, fact, _ in kept),
        contexts=tuple(context for _, _, context in kept),
        objects=objects,
        tokens=tuple(table),
        answers=np.array([number[fact.object] for _, fact, _ in kept]),
        right=_further_answers([fact for _, fact, _ in kept], answers, number),
        kind=kind,
        mask=-1 if tokenizer.mask_token_id is None else int(tokenizer.mask_token_id),
    )


def right_answers(facts: Sequence[Fact]) -> dict[str, set[str]]:
    """Map each fact id of a relation to its correct answers: its own, and those of other facts about the subject."""
    by_subject: dict[str, set[str]] = {}
    for fact in facts:
        by_subject.setdefault(fact.subject, set()).update((fact.object, *fact.others))
    return {fact.id: by_subject[fact.subject] for fact in facts}


def _further_answers(
    kept: Sequence[Fact], answers: Mapping[str, set[str]], number: Mapping[str, int]
) -> Bool[np.ndarray, "fact object"]:
    """Mark the correct answers of each fact other than its own object."""
    right = np.zeros((len(kept), len(number)), dtype=bool)
    for row, fact in enumerate(kept):
        for name in answers[fact.id] - {fact.object}:
            if name in number:
                right[row, number[name]] = True
    return right
