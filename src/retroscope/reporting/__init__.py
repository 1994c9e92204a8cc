"""Say it: verdict in words, tables, figures and the page. Sees Scores and Difference only; no torch.

The study room fills a `Findings`; `write_report` turns it into files, `summary` into text.
"""

from retroscope.reporting.console import summary
from retroscope.reporting.findings import (
    CollectionFacts,
    Findings,
    Model,
    RankedPassage,
    SelfTest,
    TopPassages,
    Tower,
)
from retroscope.reporting.report import write_report
from retroscope.reporting.statements import Statement
from retroscope.reporting.verdict import Verdict, verdict

__all__ = [
    "CollectionFacts",
    "Findings",
    "Model",
    "RankedPassage",
    "SelfTest",
    "Statement",
    "TopPassages",
    "Tower",
    "Verdict",
    "summary",
    "verdict",
    "write_report",
]
