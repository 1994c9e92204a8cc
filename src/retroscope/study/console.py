"""The findings as a page of plain text for the terminal."""

import textwrap

from retroscope.analyses.neurons.report import NeuronReport, neuron_verdict
from retroscope.analyses.neurons.tables import narrow_ablation
from retroscope.analyses.transplants.figures import transplant_tables
from retroscope.analyses.transplants.result import TransplantFindings
from retroscope.analyses.transplants.words import transplant_statements
from retroscope.analyses.weights.figures import weight_tables
from retroscope.analyses.weights.result import WeightFindings
from retroscope.analyses.weights.words import weight_statements
from retroscope.study.findings import Findings
from retroscope.study.paper_tables import paper_layers, paper_retrieval
from retroscope.study.verdict import verdict
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.numbers import count
from retroscope.typesetting.statements import Statement

WIDTH = 100
TONE_WIDTH = 13
ASKED = ("target", "tower", "method", "quadrature")  # of an attribution's recipe


def summary(findings: Findings) -> str:
    """Alarms, headline, the other statements, then retrieval by measure and by layer; ASCII where the names are."""
    found = verdict(findings)
    blocks = [
        f"{findings.title}  (protocol: {findings.protocol})",
        f"before: {findings.before.name}\nafter:  {findings.after.name}\non:     {findings.collection.name}",
        *([_statements("READ THIS FIRST", found.alarms)] if found.alarms else []),
        _statements("Verdict", (found.headline, *found.statements)),
        *([_listed("Caveats", findings.caveats)] if findings.caveats else []),
        *(_table(t) for t in (paper_retrieval(findings), paper_layers(findings)) if not t.frame.empty),
    ]
    return "\n\n".join(_without_controls(block) for block in blocks) + "\n"


def neuron_summary(report: NeuronReport) -> str:
    """What was attributed, alarms, and the statements; the ablation as a table."""
    alarms, statements = neuron_verdict(report)
    side = report.side
    asked = ", ".join(f"{key}: {side.recipe[key]}" for key in ASKED if key in side.recipe)
    blocks = [
        f"{report.title}  (protocol: {report.protocol})",
        f"model: {report.model.name}\non:    {report.on}, {count(side.units, 'unit')}, {side.noise} of them noise\n"
        f"       {asked}",
        *([_statements("READ THIS FIRST", alarms)] if alarms else []),
        _statements("Verdict", statements),
        *([_listed("Caveats", report.caveats)] if report.caveats else []),
        *(_table(t) for t in (narrow_ablation(report.neurons),) if not t.frame.empty),
    ]
    return "\n\n".join(_without_controls(block) for block in blocks) + "\n"


def weight_summary(findings: WeightFindings) -> str:
    """The statements about weights, then the change by layer and part."""
    tables = weight_tables(findings)
    blocks = [
        findings.title,
        _statements("Verdict", weight_statements(findings)),
        *([_listed("Caveats", findings.notes)] if findings.notes else []),
        *(_table(t) for t in (tables.get("weights"),) if t is not None),
    ]
    return "\n\n".join(_without_controls(block) for block in blocks) + "\n"


def transplant_summary(findings: TransplantFindings) -> str:
    """The statements about transplants, then every one of them."""
    blocks = [
        findings.title,
        _statements("Verdict", transplant_statements(findings)),
        *([_listed("Caveats", findings.caveats)] if findings.caveats else []),
        *(_table(t) for t in transplant_tables(findings).values()),
    ]
    return "\n\n".join(_without_controls(block) for block in blocks) + "\n"


def _statements(heading: str, statements: tuple[Statement, ...]) -> str:
    return "\n".join([heading, *(_statement(s) for s in statements)])


def _statement(statement: Statement) -> str:
    text = [_wrapped(f"  {statement.tone}".ljust(TONE_WIDTH + 2), statement.text)]
    return "\n".join(text + [_wrapped(" " * (TONE_WIDTH + 2), f"(!) {doubt}") for doubt in statement.doubts])


def _listed(heading: str, items: tuple[str, ...]) -> str:
    return "\n".join([heading, *(_wrapped("  - ", item) for item in items)])


def _table(table: PaperTable) -> str:
    columns = [str(c) for c in table.frame.columns]
    grid = [columns, *(list(map(str, row)) for row in table.frame.itertuples(index=False))]
    widths = [max(len(line[k]) for line in grid) for k in range(len(columns))]
    right = [name in table.numeric for name in columns]
    lines = ["  ".join(map(_cell, line, widths, right)) for line in grid]
    note = [_wrapped("  ", table.note)] if table.note else []
    return "\n".join([table.caption, *(f"  {line}".rstrip() for line in lines), *note])


def _cell(text: str, width: int, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)


def _wrapped(lead: str, text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=lead, subsequent_indent=" " * len(lead), break_long_words=False)


def _without_controls(text: str) -> str:
    """The text without characters that could steer a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)
