"""Show a study in a notebook as a small table."""

from retroscope.notebook import html_table
from retroscope.study.reporting.report import Report


def answer_html(report: Report) -> str:
    """Return the answer of a study as an HTML table. For a study of one model, list what was measured."""
    title, answer = report.subject.title, report.answer
    if answer is None:
        return html_table(title, [(name, "measured") for name in report.sections])
    cards = [(card.question, card.answer, card.estimate or "", card.state) for card in answer.cards]
    failed = [("Failed", alarm.text, "", alarm.section) for alarm in report.verdict.alarms]
    return html_table(title, [("Answer", answer.sentence, "", answer.state), *failed, *cards])
