"""The types `Fact` and `Facts`. `Facts` is a set of facts that is checked when it is made."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from retroscope.errors import CollectionError, excerpt

MASK = "[MASK]"  # where a cloze has the object
SUBJECT = "[X]"  # stands for the subject in `Fact.template`


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact: subject, relation, object.

    Attributes:
        id: id, unique in its set.
        relation: name of the relation, e.g. "P19".
        subject, object: subject and object, written as in the cloze.
        cloze: a sentence that states the fact, with `MASK` instead of the object.
        paraphrases: other sentences that state the fact, with `MASK` instead of the object.
        question: the question that the object answers, or "" if there is none.
        passages: texts that state the fact.
        others: correct answers besides `object`: other names of it, or other objects.
        stratum: group that the fact belongs to, e.g. "unknown-held-out", or "" if there are no groups.
        popularity: popularity of the subject, in the unit of the source, or None if it is not given.
    """

    id: str
    relation: str
    subject: str
    object: str
    cloze: str
    paraphrases: tuple[str, ...] = ()
    question: str = ""
    passages: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    stratum: str = ""
    popularity: float | None = None

    @property
    def clozes(self) -> tuple[str, ...]:
        """Return the cloze and its paraphrases, the cloze first."""
        return (self.cloze, *self.paraphrases)


def template(cloze: str, subject: str) -> str:
    """Return a cloze with `SUBJECT` in place of its subject. All facts with this wording have the same template."""
    return cloze.replace(subject, SUBJECT, 1)


def check_fact(fact: Fact, where: str) -> Fact:
    """Return the fact unchanged, or raise an error if it is incomplete or malformed.

    Raises:
        CollectionError: if a required field is empty, or if a cloze lacks the subject or does not contain `MASK` once.
    """
    for name in ("id", "relation", "subject", "object", "cloze"):
        if not getattr(fact, name).strip():
            raise CollectionError(
                f"the field {name!r} of this fact is empty",
                where=where,
                fix=f"write the {name} of the fact into {name!r}",
            )
    for cloze in fact.clozes:
        if cloze.count(MASK) != 1:
            raise CollectionError(
                f"the cloze {excerpt(cloze)} must contain {MASK} once, but contains it {cloze.count(MASK)} times",
                where=where,
                fix=f"write {MASK} exactly once, in place of the object of the fact",
            )
        if fact.subject not in cloze:
            raise CollectionError(
                f"the cloze {excerpt(cloze)} does not contain the subject of the fact, {excerpt(fact.subject)}",
                where=where,
                fix=f"write {excerpt(fact.subject)} in the cloze, spelt exactly as in the field `subject`",
            )
    return fact


@dataclass(frozen=True, eq=False)
class Facts:
    """Set of facts with distinct ids, each fact once. Make one with `make_facts`.

    Attributes:
        facts: the facts, in the order of the source.
        source: path that they were read from.
        layout: name of the layout of these files.
        notes: what the reader left out, with counts, in words.
    """

    facts: tuple[Fact, ...]
    source: str = ""
    layout: str = ""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of facts."""
        return len(self.facts)

    @cached_property
    def by_relation(self) -> Mapping[str, tuple[Fact, ...]]:
        """Return the facts of each relation, by the name of the relation."""
        groups: dict[str, list[Fact]] = {}
        for fact in self.facts:
            groups.setdefault(fact.relation, []).append(fact)
        return {relation: tuple(facts) for relation, facts in groups.items()}

    @cached_property
    def fingerprint(self) -> str:
        """Return the SHA-256 of every fact, in order."""
        return hashlib.sha256(repr(self.facts).encode(errors="surrogatepass")).hexdigest()


@dataclass
class Gathered:
    """Builder of `Facts`: checks each fact, and refuses or leaves out a repeated one.

    Attributes:
        keep_first: whether a fact is left out, and not refused, if its relation, subject and object occurred before.
        facts: the facts added so far.
        places: id of each fact -> where it was read.
        triples: (relation, subject, object) of each fact -> where it was read.
        repeated: how many facts were left out.
    """

    keep_first: bool = False
    facts: list[Fact] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)
    triples: dict[tuple[str, str, str], str] = field(default_factory=dict)
    repeated: int = 0

    def add(self, fact: Fact, where: str) -> None:
        """Check a fact and add it.

        Raises:
            CollectionError: if the fact is invalid, its id occurred before, or (without `keep_first`) it is repeated.
        """
        check_fact(fact, where)
        triple = (fact.relation, fact.subject, fact.object)
        earlier = self.places.get(fact.id)
        if earlier is not None:
            raise CollectionError(
                f"two facts have the id {excerpt(fact.id)}; the first is at {earlier}",
                where=where,
                fix="give every fact an id of its own",
            )
        if triple in self.triples and self.keep_first:
            self.repeated += 1
            return
        if triple in self.triples:
            raise CollectionError(
                f"the fact {excerpt(triple)} is given twice; the first is at {self.triples[triple]}",
                where=where,
                fix="remove one of the two facts",
            )
        self.places[fact.id] = self.triples[triple] = where
        self.facts.append(fact)

    def finish(self, source: str, layout: str, notes: Iterable[str] = ()) -> Facts:
        """Return the facts added so far as a `Facts`.

        Raises:
            CollectionError: if there is no fact.
        """
        if not self.facts:
            raise CollectionError(
                "there is no fact in this file or folder",
                where=source,
                fix="give a file or folder with at least one fact",
            )
        repeated = (f"{self.repeated} facts that are stated twice, kept once",) if self.repeated else ()
        return Facts(tuple(self.facts), source, layout, (*notes, *repeated))


def make_facts(facts: Iterable[Fact], source: str = "", layout: str = "made") -> Facts:
    """Check facts, and return them as one set. A repeated fact is an error."""
    gathered = Gathered()
    for number, fact in enumerate(facts, start=1):
        gathered.add(fact, f"{source or layout}, fact {number}")
    return gathered.finish(source, layout)
