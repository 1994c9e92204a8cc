"""The type `Overview`: several studies side by side, as page, text and JSON document."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from retroscope.analyses.questions import Question
from retroscope.files.documents import SCHEMA, clean
from retroscope.number_format import count, interval, score, signed
from retroscope.study.overview.comparable import OWN, Comparable, comparables
from retroscope.study.overview.members import SIDES, Identity, NamedStudy, model_labels
from retroscope.study.reporting.answer import Answer
from retroscope.typesetting.statements import State
from retroscope.typesetting.subject import AFTER


@dataclass(frozen=True, eq=False)
class Overview:
    """Several studies that each compare a backbone and its retriever, with comparable results and with answers.

    Attributes:
        members: the studies, in the order they were named in.
        title: heading of the page.
        pending: names of retrievers that are not measured yet.
    """

    members: tuple[NamedStudy, ...]
    title: str
    pending: tuple[str, ...] = ()

    @cached_property
    def comparables(self) -> tuple[Comparable, ...]:
        """Return the groups of studies whose results on one collection may be compared."""
        return comparables(self.members)

    @cached_property
    def labels(self) -> Mapping[Identity, str]:
        """Map each model of the studies to its distinct label in figures."""
        return model_labels(self.members)

    @property
    def answers(self) -> dict[str, Answer]:
        """Map the name of each study to the answer that its report begins with.

        Studies without an answer are left out.
        """
        answers = ((member.name, member.study.report_contents.answer) for member in self.members)
        return {name: answer for name, answer in answers if answer is not None}

    @property
    def questions(self) -> list[str]:
        """Return the questions that the first screen of at least one study answers, in order."""
        asked = dict.fromkeys(card.question for answer in self.answers.values() for card in answer.cards)
        return [question for question in asked if question != Question.MISSING]

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """Return sentences that say how many retrievers changed, which is best, and its lead over the next."""
        return () if not self.comparables else answer_sentences(self.comparables[0])

    @cached_property
    def cautions(self) -> tuple[str, ...]:
        """Return the warnings: failed checks, analyses not yet measured, and numbers that may not be compared."""
        waiting = (
            [f"not yet measured: {', '.join(self.pending)}; repeat the command to continue"] if self.pending else []
        )
        return (*_failed(self.members), *waiting, *_unfinished(self.members), *apart(self.comparables))

    def link(self, member: NamedStudy, page: Path) -> str:
        """Return the link from the overview's page to a study's page, or "" if the study has no page."""
        return "" if member.page is None else quote(Path(os.path.relpath(member.page, page.parent)).as_posix())

    def document(self, page: Path | None = None) -> dict[str, Any]:
        """Return the overview as JSON-like values.

        Args:
            page: path of the overview's page, to which links are relative. If None, there are no links.
        """
        studies = [
            {
                "name": member.name,
                "title": member.study.facts["title"],
                **{side: member.model(side).name for side in SIDES},
                "page": "" if page is None else self.link(member, page),
                "answer": None if (answer := self.answers.get(member.name)) is None else answer.document(),
            }
            for member in self.members
        ]
        return {
            "schema": SCHEMA,
            "title": self.title,
            "sentences": list(self.sentences),
            "caveats": list(self.cautions),
            "not_yet_run": list(self.pending),
            "studies": studies,
            "comparable": [_document(group) for group in self.comparables],
        }


def _document(one: Comparable) -> dict[str, Any]:
    records: list[dict[str, Any]] = one.effects.to_dict(orient="records")
    effects = [clean(record) for record in records]
    return {"collection": one.collection, "rules": dict(one.rules), "studies": [m.name for m in one.members],
            "effects": effects}  # fmt: skip


def answer_sentences(first: Comparable) -> tuple[str, ...]:
    """State how many retrievers changed on the headline measure, which is best, and its lead over the next."""
    own = first.against(OWN, first.headline)
    significant = own["state"] == str(State.SIGNIFICANT)
    tally = {
        "rose significantly in": int((significant & (own["effect"] > 0)).sum()),
        "fell significantly in": int((significant & (own["effect"] <= 0)).sum()),
        "is equivalent in": int((own["state"] == str(State.EQUIVALENT)).sum()),
        "did not change significantly in": int((own["state"] == str(State.NOT_SIGNIFICANT)).sum()),
        "had too few queries in": int((own["state"] == str(State.TOO_FEW)).sum()),
    }
    counted = ", ".join(f"{words} {number}" for words, number in tally.items() if number)
    sentences = [f"On {first.collection}, {first.headline} {counted} of {count(len(own), 'retriever')}."]
    ranked = own.sort_values(AFTER, ascending=False, kind="stable")
    best = ranked.iloc[0]
    gain = f"{signed(best['effect'])} {interval(best['ci_low'], best['ci_high'], effect=True)} over its backbone"
    sentences.append(f"Highest: {best['model']} with {score(best[AFTER])}, {gain}.")
    if len(ranked) > 1:
        sentences += _against_next(first, str(best["model"]), str(ranked.iloc[1]["model"]))
    return tuple(sentences)


def _against_next(first: Comparable, best: str, other: str) -> list[str]:
    """State how far the best retriever is ahead of the second best, or return [] if both are the same model."""
    rows = first.against(other, first.headline)
    rows = rows[rows["model"] == best]
    if rows.empty:
        return []
    row = rows.iloc[0]
    ends = interval(row["ci_low"], row["ci_high"], effect=True)
    return [f"Against the second best, {other}: {signed(row['effect'])} {ends}, {row['state']}."]


def _failed(members: Sequence[NamedStudy]) -> list[str]:
    """Return a line for every study in which a control, a self-test or a check failed."""
    alarms = {member.name: member.study.report_contents.verdict.alarms for member in members}
    lines = []
    for name, statements in alarms.items():
        failed = dict.fromkeys(statement.control or statement.section for statement in statements)
        lines += [f"{name}: {count(len(statements), 'check')} failed: {', '.join(failed)}"] if statements else []
    return lines


def _unfinished(members: Sequence[NamedStudy]) -> list[str]:
    return [f"{member.name}: not yet run: {', '.join(member.study.subject.pending)}" for member in members
            if member.study.subject.pending]  # fmt: skip


def apart(groups: Sequence[Comparable]) -> list[str]:
    """State which studies may not be compared on a collection and why, and which were not measured on it."""
    lines = []
    for n, group in enumerate(groups):
        for other in groups[:n]:
            if group.collection == other.collection:
                who = [", ".join(member.name for member in side.members) for side in (group, other)]
                reasons = "; ".join(group.differs_from(other))
                lines.append(f"{group.collection}: {who[0]} may not be compared with {who[1]} ({reasons})")
    everyone = list(dict.fromkeys(member.name for group in groups for member in group.members))
    for collection in dict.fromkeys(group.collection for group in groups):
        there = {member.name for group in groups if group.collection == collection for member in group.members}
        absent = [name for name in everyone if name not in there]
        if absent:
            lines.append(f"{collection}: not measured for {', '.join(absent)}")
    return lines
