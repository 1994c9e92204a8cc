"""Tokenise clozes: the tokens before and after the object, and the tokens of each candidate object.

The input of a masked model is the cloze with a mask for each token of the object, and it predicts all of them at once.
The input of a causal model is the cloze up to the object, and it predicts the tokens of the object one by one. The
score of an object is the mean log-probability of its tokens, so that long objects are not at a disadvantage.
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
    """A tokenised cloze with an object inserted: token ids before the object, of the object, and after it."""

    before: TokenIds
    object: tuple[int, ...]
    after: TokenIds


def answered(tokenizer: PreTrainedTokenizerBase, cloze: str, answer: str) -> Answered:
    """Tokenise a cloze with an object inserted, including special tokens.

    Raises:
        AnalysisError: if no token of the cloze belongs to the object.
    """
    start = cloze.index(MASK)
    end = start + len(answer)
    encoded = tokenizer(cloze.replace(MASK, answer, 1), return_offsets_mapping=True)
    ids, spans = encoded["input_ids"], encoded["offset_mapping"]
    inside = [at for at, (a, b) in enumerate(spans) if a < end and b > start and b > a]
    if not inside:
        raise AnalysisError(
            f"the tokenizer makes no token from the object {answer!r}", fix="remove the facts with this object"
        )
    first, last = inside[0], inside[-1] + 1
    return Answered(list(ids[:first]), tuple(ids[first:last]), list(ids[last:]))


@dataclass(frozen=True, eq=False)
class RelationClozes:
    """The tokenised facts of one relation in one wording, and the candidate objects.

    Attributes:
        rows: index of each fact in the list of all facts.
        subjects: subject of each fact.
        contexts: the tokenised cloze of each fact with its own object.
        objects: the distinct objects of the relation, which are the candidates for answers.
        tokens: token ids of each object.
        answers: index of each fact's object in `objects`.
        right: [fact, object], True for a correct answer other than the fact's own object, which is no competitor.
        kind: "masked" or "causal", how the model predicts tokens.
        mask: id of the mask token; not used for a causal model.
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
        """Return a mask of the competitors with the same tokens as the answer, which no model can distinguish."""
        numbers = {tokens: number for number, tokens in enumerate(dict.fromkeys(self.tokens))}
        kinds = np.array([numbers[tokens] for tokens in self.tokens])
        twins: np.ndarray = (kinds[self.answers][:, None] == kinds) & ~self.right
        twins[np.arange(len(self.answers)), self.answers] = False
        return twins

    @cached_property
    def inserts(self) -> tuple[tuple[int, ...], ...]:
        """Return the token sequences that replace the object in the model inputs of a fact.

        For a masked model, they are 1, 2 ... masks, one for each length of an object. For a causal model, they are the
        distinct prefixes of all objects.
        """
        if self.kind == "masked":
            return tuple((self.mask,) * size for size in sorted({len(tokens) for tokens in self.tokens}))
        prefixes = {tokens[:k] for tokens in self.tokens for k in range(len(tokens))}
        return tuple(sorted(prefixes, key=lambda t: (len(t), t)))

    @cached_property
    def points(self) -> dict[tuple[tuple[int, ...], int], int]:
        """Map (token sequence from `inserts`, index in it) to the index of the state that predicts the token there.

        For a causal model, the index in the sequence is its length: the predicted token follows the sequence. The
        states are numbered over all inputs of a fact, in the order of `places`.
        """
        if self.kind == "causal":
            return {(insert, len(insert)): number for number, insert in enumerate(self.inserts)}
        pairs = [(insert, k) for insert in self.inserts for k in range(len(insert))]
        return {pair: number for number, pair in enumerate(pairs)}

    @cached_property
    def steps(self) -> Int[np.ndarray, "object step 2"]:
        """Return, for each token of every object, the index of the state that predicts it and the token id.

        Both are -1 beyond the last token of an object.
        """
        steps = np.full((len(self.objects), max(map(len, self.tokens)), 2), -1, dtype=np.int64)
        for row, tokens in enumerate(self.tokens):
            for k, token in enumerate(tokens):
                insert = (self.mask,) * len(tokens) if self.kind == "masked" else tokens[:k]
                steps[row, k] = self.points[insert, k], token
        return steps

    def context(self, fact: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the tokens of a fact's cloze that the model sees: those before and, if it is masked, after the object.

        Two wordings of a fact with the same tokens are one wording for the model.

        Args:
            fact: index of the fact in this relation.
        """
        context = self.contexts[fact]
        return tuple(context.before), tuple(context.after) if self.kind == "masked" else ()

    def places(self, fact: int) -> list[ReadInput]:
        """Return the model inputs of one fact, with the positions whose states predict tokens of objects.

        They are in the order of `points`.

        Args:
            fact: index of the fact in this relation.
        """
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
    """Tokenise the facts of one relation in one wording, or return None if no fact can be asked in this wording.

    Some facts are left out, although their objects remain candidates:

    - A causal model sees only the words before the object, so a fact whose subject comes later is left out.
    - An object may have other tokens at the beginning of a cloze than within it. The tokens in the more frequent of the
      two positions are used, and facts in whose cloze the object has other tokens are left out.
    - A fact without a competing object is left out, because its answer would always be first.

    Args:
        facts: (index in the list of all facts, fact).
        wording: 0 for the cloze, k for the k-th paraphrase.
    """
    asked = [(row, fact, fact.clozes[wording]) for row, fact in facts if wording < len(fact.clozes)]
    if kind == "causal":
        asked = [(row, fact, cloze) for row, fact, cloze in asked if fact.subject in cloze.partition(MASK)[0]]
    objects = tuple(dict.fromkeys(fact.object for _, fact in facts))
    if not asked:
        return None
    begins = [cloze.startswith(MASK) for _, _, cloze in asked]
    usual = asked[begins.index(2 * sum(begins) > len(begins))][2]  # an object has other tokens at the very beginning
    table = [answered(tokenizer, usual, name).object for name in objects]
    number = {name: at for at, name in enumerate(objects)}
    tokenised = [(row, fact, answered(tokenizer, cloze, fact.object)) for row, fact, cloze in asked]
    answers = right_answers([fact for _, fact in facts])
    rivalled = [(row, fact, cloze) for row, fact, cloze in tokenised if number.keys() - answers[fact.id]]
    usable = [(row, fact, cloze) for row, fact, cloze in rivalled
              if cloze.object == table[number[fact.object]] and cloze.before]  # fmt: skip
    if not usable:
        return None
    return RelationClozes(
        rows=tuple(row for row, _, _ in usable),
        subjects=tuple(fact.subject for _, fact, _ in usable),
        contexts=tuple(context for _, _, context in usable),
        objects=objects,
        tokens=tuple(table),
        answers=np.array([number[fact.object] for _, fact, _ in usable]),
        right=_further_answers([fact for _, fact, _ in usable], answers, number),
        kind=kind,
        mask=-1 if tokenizer.mask_token_id is None else int(tokenizer.mask_token_id),
    )


def right_answers(facts: Sequence[Fact]) -> dict[str, set[str]]:
    """Map the id of each fact to its correct answers: its own object, and those of other facts about the same subject.

    Args:
        facts: all facts of one relation.
    """
    by_subject: dict[str, set[str]] = {}
    for fact in facts:
        by_subject.setdefault(fact.subject, set()).update((fact.object, *fact.others))
    return {fact.id: by_subject[fact.subject] for fact in facts}


def _further_answers(
    facts: Sequence[Fact], answers: Mapping[str, set[str]], number: Mapping[str, int]
) -> Bool[np.ndarray, "fact object"]:
    """Return a mask of each fact's correct answers other than its own object."""
    right = np.zeros((len(facts), len(number)), dtype=bool)
    for row, fact in enumerate(facts):
        for name in answers[fact.id] - {fact.object}:
            if name in number:
                right[row, number[name]] = True
    return right
