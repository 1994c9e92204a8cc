"""A report as plain text for the terminal: the answer alone, or the whole report."""

import shlex
from pathlib import Path

from retroscope.study.reporting.answer import Answer
from retroscope.study.reporting.report import Report
from retroscope.typesetting.console import bullet_list, labelled_lines, page, paragraph, statement_list, table


def console_text(report: Report, *, everything: bool = False, folder: Path | None = None) -> str:
    """Return the answer and failed checks as text; with `everything` or without an answer, the whole report.

    The whole report has the answer, every statement, the caveats, and the tables that a terminal shows.

    Args:
        folder: folder of the study, for the command that prints the whole report, or None if it is not known.
    """
    answer = report.answer
    if answer is not None and not everything:
        failed = statement_list("What failed", report.verdict.alarms)
        place = "DIR" if folder is None else shlex.quote(str(folder))
        return page([*_head(report), *_answer(answer), failed, f"Whole report: retroscope show {place} --all"])
    return page([*_head(report), *([] if answer is None else _answer(answer)), *_everything(report)])


def _head(report: Report) -> list[str]:
    """Return the title, models, collections, and analyses not yet run, as lines."""
    subject = report.subject
    width = max(len(side) for side in subject.models)
    models = [f"{side + ':':<{width + 1}} {model.name}" for side, model in subject.models.items()]
    on = ", ".join(collection.name for collection in subject.collections)
    head = [f"{'':<{width + 1}} {line}" for section in report.sections.values() for line in section.head]
    unfinished = (
        [f"Not yet run: {', '.join(subject.pending)}. Repeat the command to continue."] if subject.pending else []
    )
    return [
        f"{subject.title}  (protocol: {subject.protocol})",
        "\n".join([*models, f"{'on:':<{width + 1}} {on}", *head]),
        *unfinished,
    ]


def _answer(answer: Answer) -> list[str]:
    """Return the sentence of the answer, then each question with its state, answer and number, as lines."""
    lines = [
        labelled_lines(card.question, str(card.state), ": ".join(filter(None, (card.answer, str(card.estimate or "")))))
        for card in answer.cards
    ]
    return [paragraph(answer.sentence), "\n".join(lines)]


def _everything(report: Report) -> list[str]:
    verdict = report.verdict
    headline = [verdict.headline] if verdict.headline else []
    widths = [f"{name}: {certainty.words()}" for name, certainty in report.certainties.items()]
    return [
        statement_list("READ THIS FIRST", verdict.alarms),
        statement_list("Verdict", [*headline, *verdict.statements]),
        bullet_list("Not measured", [] if report.answer is None else report.answer.missing_lines()),
        bullet_list("Caveats", report.subject.caveats),
        bullet_list("Half-widths of intervals", widths),
        *(table(section.tables[name]) for section in report.sections.values() for name in section.printed),
    ]
