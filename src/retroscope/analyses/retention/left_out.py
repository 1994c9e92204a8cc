"""Describe in words how many facts are left out or counted differently."""

from collections.abc import Sequence

from retroscope.errors import excerpt
from retroscope.knowledge.askable import AskableFacts
from retroscope.knowledge.clozes import RelationClozes
from retroscope.numbers import count

NAMED = 5  # relations that a note names


def not_asked(askable: AskableFacts) -> list[str]:
    """Describe the facts that give no information about a model."""
    notes = []
    if askable.unknown:
        notes.append(
            f"{count(len(askable.unknown), 'fact')} whose object has a word that the tokenizer does not know "
            f"(e.g. {excerpt(askable.unknown[0].object)}), left out; their objects are no candidates"
        )
    if askable.alone:
        relations = list(dict.fromkeys(fact.relation for fact in askable.alone))
        more = f" and {len(relations) - NAMED} more" if len(relations) > NAMED else ""
        notes.append(
            f"{count(len(askable.alone), 'fact')} whose answer has no competitor among the objects of the relation, "
            f"left out because P@1 would be 1 for every model (relations: {', '.join(relations[:NAMED])}{more})"
        )
    return notes


def indistinct_objects(firsts: Sequence[RelationClozes]) -> list[tuple[str, str]]:
    """Return the object of each fact with another object of its relation that has the same tokens, if there is one."""
    return [
        (clozes.objects[clozes.answers[fact]], clozes.objects[int(others.argmax())])
        for clozes in firsts
        for fact, others in enumerate(clozes.twins)
        if others.any()
    ]


def counted_otherwise(firsts: Sequence[RelationClozes], asked: int) -> list[str]:
    """Describe the facts whose first wording cannot be read, and those that can only count as not read.

    Args:
        firsts: the clozes of every relation.
        asked: facts that could be asked.
    """
    notes, lost, pairs = [], asked - sum(len(one.rows) for one in firsts), indistinct_objects(firsts)
    if lost:
        notes.append(f"{count(lost, 'fact')} cannot be read by this model in the first wording, left out")
    if pairs:
        one, other = pairs[0]
        notes.append(
            f"{count(len(pairs), 'fact')} whose object has the same tokens as another object of its relation (e.g. "
            f"{excerpt(one)} and {excerpt(other)}): no model can tell these apart, so the facts count as not read"
        )
    return notes


def repeated_wordings(wordings: Sequence[RelationClozes]) -> list[str]:
    """Describe the clozes whose tokens equal those of an earlier cloze of the same fact."""
    seen = [(row, clozes.context(fact)) for clozes in wordings for fact, row in enumerate(clozes.rows)]
    repeated = len(seen) - len(set(seen))
    if not repeated:
        return []
    what = f"{count(repeated, 'cloze')} that this model reads exactly like an earlier cloze of the same fact"
    return [f"{what}: not counted in consistency"]
