"""Say it: verdict in words, tables, figures and the page. Sees Scores and Difference only; no torch.

The study room fills a `Findings`; `write_report` turns it into files, `summary` into text.
"""

from retroscope.reporting.console import neuron_summary, summary
from retroscope.reporting.findings import (
    CollectionFacts,
    Findings,
    Model,
    RankedPassage,
    SelfTest,
    TopPassages,
    Tower,
)
from retroscope.reporting.neuron_findings import PUBLISHED, SINGLE, Ablation, HeatMap, NeuronFindings, NeuronSide
from retroscope.reporting.neuron_report import NeuronReport, write_neuron_report
from retroscope.reporting.report import write_report
from retroscope.reporting.statements import Statement
from retroscope.reporting.verdict import Verdict, verdict

__all__ = [
    "PUBLISHED",
    "SINGLE",
    "Ablation",
    "CollectionFacts",
    "Findings",
    "HeatMap",
    "Model",
    "NeuronFindings",
    "NeuronReport",
    "NeuronSide",
    "RankedPassage",
    "SelfTest",
    "Statement",
    "TopPassages",
    "Tower",
    "Verdict",
    "neuron_summary",
    "summary",
    "verdict",
    "write_neuron_report",
    "write_report",
]
