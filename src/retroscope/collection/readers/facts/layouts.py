"""Layouts of published facts: Retroscope's own JSON lines, LAMA's T-REx, ParaRel, EntityQuestions and PopQA."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retroscope.collection.facts.records import MASK, Fact, Facts, Gathered
from retroscope.collection.readers.fields import id_of, missing_column, records_of, required_text, text_list, text_of
from retroscope.collection.readers.numbers import finite_number
from retroscope.collection.readers.rows import Row, file_rows, first_row
from retroscope.errors import CollectionError, excerpt
from retroscope.files.reading import DOWNLOAD_AGAIN
from retroscope.files.strict_json import BrokenJsonError, parse_json

X, Y = "[X]", "[Y]"  # of the templates of LAMA and ParaRel
OWN_FIELDS = ("id", "relation", "subject", "object", "cloze")
ASKED = f"Question: {{}} Answer: {MASK} ."  # the cloze of sources that have questions only
PARAREL_FACTS, PARAREL_PATTERNS = "trex_lms_vocab", "graphs_json"


@dataclass(frozen=True)
class FactLayout:
    """File layout of a published set of facts (e.g. LAMA), with functions that recognise and read it.

    Attributes:
        recognises: function that says whether the content at a path has this layout.
        read: function that returns the facts at a path.
    """

    recognises: Callable[[Path], bool]
    read: Callable[[Path], Facts]


def _has(path: Path, *columns: str) -> bool:
    row = first_row(path)
    return row is not None and all(name in row.values for name in columns)


def _own(path: Path) -> Facts:
    gathered = Gathered()
    for row in file_rows(path):
        popularity = row.values.get("popularity")
        fact = Fact(
            id_of(row, "id"),
            required_text(row, "relation"),
            required_text(row, "subject"),
            required_text(row, "object"),
            required_text(row, "cloze"),
            paraphrases=_texts(row, "paraphrases"),
            question=text_of(row, "question"),
            passages=_texts(row, "passages"),
            others=_texts(row, "others"),
            stratum=text_of(row, "stratum"),
            popularity=None if popularity is None else _number(row, "popularity"),
        )
        gathered.add(fact, row.where)
    return gathered.finish(str(path), "facts")


def _texts(row: Row, column: str) -> tuple[str, ...]:
    return tuple(text_list(row, column)) if column in row.values else ()


def _number(row: Row, column: str) -> float:
    value = row.values.get(column)
    if (number := finite_number(value)) is None:
        raise CollectionError(
            f"the field {column!r} must be a number, found {excerpt(value)}",
            where=row.where,
            fix=f"write a number in ASCII digits into {column!r}, e.g. 120",
        )
    return number


def _is_lama(path: Path) -> bool:
    file = next(iter(_relation_files(path)), None)
    return (path / "relations.jsonl").is_file() and file is not None and _has(file, "sub_label", "obj_label")


def _lama(path: Path) -> Facts:
    """Read LAMA's T-REx: `relations.jsonl` with one file of facts per relation, beside it or in a folder `TREx`."""
    templates, gathered = _templates(path / "relations.jsonl"), Gathered(keep_first=True)
    files = _relation_files(path)
    for file in (file for file in files if file.stem in templates):
        for row in file_rows(file):
            sentences = _evidence(row)
            gathered.add(_labelled(row, file.stem, [templates[file.stem]], sentences), row.where)
    left_out = [file.stem for file in files if file.stem not in templates]
    notes = [f"relations without a template, left out: {', '.join(left_out)}"] if left_out else []
    return gathered.finish(str(path), "lama", notes)


def _templates(file: Path) -> dict[str, str]:
    """Map each relation to its template: a cloze with placeholders for subject and object.

    Raises:
        CollectionError: for a relation that is listed twice.
    """
    templates: dict[str, str] = {}
    for row in file_rows(file):
        relation = required_text(row, "relation")
        if relation in templates:
            raise CollectionError(
                f"the relation {excerpt(relation)} is listed twice",
                where=row.where,
                fix="keep one template for each relation",
            )
        templates[relation] = required_text(row, "template")
    return templates


def _evidence(row: Row) -> tuple[str, ...]:
    """Return LAMA's sentences that state the fact, with the object in place of `MASK`."""
    records = records_of(row, "evidences") if "evidences" in row.values else []
    sentences = [
        text_of(evidence, "masked_sentence").replace(MASK, text_of(evidence, "obj_surface")) for evidence in records
    ]
    return tuple(dict.fromkeys(text for text in sentences if text.strip()))


def _relation_files(path: Path) -> list[Path]:
    folder = path / "TREx" if (path / "TREx").is_dir() else path
    return [file for file in sorted(folder.glob("*.jsonl")) if file.name != "relations.jsonl"]


def _labelled(row: Row, relation: str, templates: list[str], passages: tuple[str, ...] = ()) -> Fact:
    subject, answer = required_text(row, "sub_label"), required_text(row, "obj_label")
    clozes = [template.replace(X, subject, 1).replace(Y, MASK, 1) for template in templates]
    number = id_of(row, "uuid") or f"{row.number}"
    return Fact(f"{relation}-{number}", relation, subject, answer, clozes[0], tuple(clozes[1:]), passages=passages)


def _is_pararel(path: Path) -> bool:
    return (path / PARAREL_FACTS).is_dir() and (path / PARAREL_PATTERNS).is_dir()


def _pararel(path: Path) -> Facts:
    """Read ParaRel: one file of facts and one of patterns per relation. Relations without patterns are left out."""
    gathered, left_out = Gathered(keep_first=True), []
    for file in sorted((path / PARAREL_FACTS).glob("*.jsonl")):
        patterns = path / PARAREL_PATTERNS / file.name
        if not patterns.is_file():
            left_out.append(file.stem)
            continue
        templates = list(dict.fromkeys(required_text(row, "pattern") for row in file_rows(patterns)))
        if not templates:
            raise CollectionError("this ParaRel pattern file has no rows", where=str(patterns), fix=DOWNLOAD_AGAIN)
        for row in file_rows(file):
            gathered.add(_labelled(row, file.stem, templates), row.where)
    notes = [f"relations without patterns, left out: {', '.join(left_out)}"] if left_out else []
    return gathered.finish(str(path), "pararel", notes)


def _question_files(path: Path) -> list[Path]:
    files = [path] if path.is_file() else sorted(path.glob("P*.json"))
    return [file for file in files if file.suffix == ".json" and _has(file, "question", "answers")]


def _entity_questions(path: Path) -> Facts:
    """Read EntityQuestions: a list of questions per relation, which differ only in the subject."""
    gathered = Gathered(keep_first=True)
    for file in _question_files(path):
        rows = list(file_rows(file))
        relation, wording = file.name.split(".")[0], _wording([required_text(row, "question") for row in rows], file)
        for row in rows:
            question, answers = required_text(row, "question"), text_list(row, "answers")
            if not answers:
                raise CollectionError(
                    f"the question {excerpt(question)} has no answer",
                    where=row.where,
                    fix="add an answer to `answers`, or remove the question",
                )
            subject = question[len(wording[0]) : len(question) - len(wording[1])]
            fact = _asked(f"{relation}-{row.number}", relation, subject, question, answers)
            gathered.add(fact, row.where)
    return gathered.finish(str(path), "entityquestions")


def _wording(questions: list[str], file: Path) -> tuple[str, str]:
    """Return the words with which all questions of a relation begin and end."""
    start, end, _ = _common(questions).rpartition(" ")
    after = _common([text[::-1] for text in questions])[::-1]
    if after[:1].isalnum():
        after = after[len(after.split(" ")[0]) :]
    if len(set(questions)) < 2 or not start:
        raise CollectionError(
            "the questions of this file must have one wording, in which only the subject differs; found "
            f"{excerpt(min(questions))} and {excerpt(max(questions))}",
            where=str(file),
            fix="give an EntityQuestions file with two or more questions of one relation",
        )
    return start + end, after


def _common(texts: list[str]) -> str:
    """Return the longest common beginning of the texts."""
    first, last = min(texts), max(texts)
    return next((first[:at] for at, pair in enumerate(zip(first, last, strict=False)) if len(set(pair)) > 1), first)


def _popqa(path: Path) -> Facts:
    """Read PopQA: one question per row, with subject, property, object, other answers and the subject's page views."""
    gathered = Gathered(keep_first=True)
    for row in file_rows(path):
        answers = _json_list(row, "possible_answers")
        names = [required_text(row, "obj"), *answers]
        subject, relation = required_text(row, "subj"), required_text(row, "prop")
        identifier = f"{row.values.get('id') or row.number}"
        fact = _asked(
            identifier, relation, subject, required_text(row, "question"), names, popularity=_number(row, "s_pop")
        )
        gathered.add(fact, row.where)
    return gathered.finish(str(path), "popqa")


def _json_list(row: Row, column: str) -> list[str]:
    value: Any = row.values.get(column)
    if value is None:
        raise missing_column(row, [column])
    try:
        parsed = parse_json(value) if isinstance(value, str) else value
    except BrokenJsonError as error:
        raise CollectionError(
            f"the field {column!r} is not valid JSON ({error.what}): {excerpt(value)}",
            where=row.where,
            fix='write the answers as a JSON list of texts, e.g. ["Paris", "City of Paris"]',
        ) from error
    return text_list(Row({column: parsed}, row.file, row.number, row.unit), column)


def _asked(
    identifier: str, relation: str, subject: str, question: str, answers: list[str], *, popularity: float | None = None
) -> Fact:
    others = tuple(dict.fromkeys(answer for answer in answers[1:] if answer != answers[0]))
    cloze = ASKED.format(question)
    return Fact(
        identifier, relation, subject, answers[0], cloze, question=question, others=others, popularity=popularity
    )


def fact_lines(facts: Facts) -> Iterator[str]:
    """Yield each fact as a line of JSON, without empty fields."""
    for fact in facts.facts:
        values = {name: getattr(fact, name) for name in Fact.__dataclass_fields__}
        yield json.dumps({k: v for k, v in values.items() if v not in ("", (), None)}, ensure_ascii=False) + "\n"


LAYOUTS: Mapping[str, FactLayout] = {
    "facts": FactLayout(lambda path: path.is_file() and _has(path, *OWN_FIELDS), _own),
    "lama": FactLayout(lambda path: path.is_dir() and _is_lama(path), _lama),
    "pararel": FactLayout(lambda path: path.is_dir() and _is_pararel(path), _pararel),
    "entityquestions": FactLayout(lambda path: bool(_question_files(path)), _entity_questions),
    "popqa": FactLayout(lambda path: path.is_file() and _has(path, "subj", "prop", "obj", "s_pop"), _popqa),
}
