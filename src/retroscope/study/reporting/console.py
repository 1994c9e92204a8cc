"""A report as a page of plain text for the terminal."""

from retroscope.study.reporting.report import Report
from retroscope.typesetting.console import bullet_list, page, statement_list, table


def console_text(report: Report) -> str:
    """Return alarms, headline, the other statements, caveats, and the tables that a terminal shows."""
    subject, verdict = report.subject, report.verdict
    width = max(len(side) for side in subject.models)
    models = [f"{side + ':':<{width + 1}} {model.name}" for side, model in subject.models.items()]
    on = ", ".join(collection.name for collection in subject.collections)
    headline = [verdict.headline] if verdict.headline else []
    unfinished = [f"Not yet run: {', '.join(subject.pending)}. The same command goes on."] if subject.pending else []
    head = [f"{'':<{width + 1}} {line}" for section in report.sections.values() for line in section.head]
    return page(
        [
            f"{subject.title}  (protocol: {subject.protocol})",
            "\n".join([*models, f"{'on:':<{width + 1}} {on}", *head]),
            *unfinished,
            statement_list("READ THIS FIRST", verdict.alarms),
            statement_list("Verdict", [*headline, *verdict.statements]),
            bullet_list("Caveats", subject.caveats),
            bullet_list(
                "Half-widths of intervals", [f"{name}: {one.words()}" for name, one in report.certainties.items()]
            ),
            *(table(section.tables[name]) for section in report.sections.values() for name in section.printed),
        ]
    )
