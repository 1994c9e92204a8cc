"""Choose the facts that can be measured: the tokenizer knows their object, and other objects compete with it."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from retroscope.collection.facts.records import Fact
from retroscope.knowledge.clozes import answered, right_answers


@dataclass(frozen=True)
class AskableFacts:
    """Facts whose objects a tokenizer knows, and facts that cannot be measured.

    Attributes:
        known: facts whose object consists of known tokens, in their order. Their objects are the candidates for
            answers.
        unknown: facts whose object contains the token for unknown words, so that the model cannot name the object.
        alone: those facts of `known` for which all objects of the relation are correct answers. P@1 would be 1 for
            every model, so `relation_clozes` leaves them out.
    """

    known: tuple[Fact, ...]
    unknown: tuple[Fact, ...]
    alone: tuple[Fact, ...]


def askable_facts(tokenizer: PreTrainedTokenizerBase, facts: Sequence[Fact]) -> AskableFacts:
    """Divide facts into those whose object the tokenizer knows and those whose object it does not know.

    Among the known ones, find those without a competing object.
    """
    readable: dict[tuple[str, str], bool] = {}
    for fact in facts:
        if (fact.relation, fact.object) not in readable:
            tokens = answered(tokenizer, fact.cloze, fact.object).object
            readable[fact.relation, fact.object] = tokenizer.unk_token_id not in tokens
    known = tuple(fact for fact in facts if readable[fact.relation, fact.object])
    alone: list[Fact] = []
    for relation in dict.fromkeys(fact.relation for fact in known):
        group = [fact for fact in known if fact.relation == relation]
        objects, answers = {fact.object for fact in group}, right_answers(group)
        alone += [fact for fact in group if not objects - answers[fact.id]]
    unknown = tuple(fact for fact in facts if not readable[fact.relation, fact.object])
    return AskableFacts(known, unknown, tuple(alone))
