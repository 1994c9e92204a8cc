"""Describe in words how many facts are left out, or can only count as not read."""

from collections.abc import Sequence

from retroscope.errors import excerpt
from retroscope.knowledge.askable import AskableFacts
from retroscope.knowledge.clozes import RelationClozes
from retroscope.number_format import count

NAMED = 5  # relations that a note names


def not_asked(askable: AskableFacts) -> list[str]:
    """Return notes that count the facts left out, because of unknown words in the object or a lack of other objects."""
    notes = []
    if askable.unknown:
        notes.append(
            f"{count(len(askable.unknown), 'fact')} whose object has a word that the tokenizer does not know "
            f"(e.g. {excerpt(askable.unknown[0].object)}), left out; their objects are not candidates for other facts"
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
    """Return (answer, other object) for each fact whose answer has the tokens of another object of its relation."""
    return [
        (clozes.objects[clozes.answers[fact]], clozes.objects[int(others.argmax())])
        for clozes in firsts
        for fact, others in enumerate(clozes.twins)
        if others.any()
    ]


def counted_otherwise(firsts: Sequence[RelationClozes], asked: int) -> list[str]:
    """Return notes that count the facts whose first wording the model cannot read, or whose answer is not unique.

    An answer is not unique if another object of the relation has the same tokens. The fact then counts as not read.

    Args:
        firsts: the clozes of every relation in the first wording.
        asked: number of facts that could be asked.
    """
    notes, lost, pairs = [], asked - sum(len(clozes.rows) for clozes in firsts), indistinct_objects(firsts)
    if lost:
        notes.append(f"{count(lost, 'fact')} cannot be read by this model in the first wording, left out")
    if pairs:
        answer, twin = pairs[0]
        notes.append(
            f"{count(len(pairs), 'fact')} whose object has the same tokens as another object of its relation (e.g. "
            f"{excerpt(answer)} and {excerpt(twin)}): no model can distinguish them, so the facts count as not read"
        )
    return notes


def repeated_wordings(wordings: Sequence[RelationClozes]) -> list[str]:
    """Return a note on the clozes whose tokens equal those of an earlier cloze of the same fact, if there are any."""
    seen = [(row, clozes.context(fact)) for clozes in wordings for fact, row in enumerate(clozes.rows)]
    repeated = len(seen) - len(set(seen))
    if not repeated:
        return []
    what = f"{count(repeated, 'cloze')} with the same tokens as an earlier cloze of the same fact"
    return [f"{what}: not counted in consistency"]
