"""The report about the neurons of one retriever: its findings, its verdict, its files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retroscope.analyses.neurons.result import SINGLE, NeuronFindings, NeuronSide
from retroscope.analyses.neurons.words import neuron_statements
from retroscope.errors import AnalysisError
from retroscope.files import write_whole
from retroscope.study.figures import draw_neurons
from retroscope.study.tables import neuron_papers, write_neuron_tables
from retroscope.typesetting.drawing import write_figures
from retroscope.typesetting.page import fill
from retroscope.typesetting.statements import ALARM, Statement
from retroscope.typesetting.subject import CollectionFacts, Model


@dataclass(frozen=True, eq=False)
class NeuronReport:
    """What was found about the neurons of one retriever.

    Attributes:
        title: of the report.
        protocol: "default" or "ielab-2025".
        model: the retriever.
        neurons: its one side is `SINGLE`.
        collection: on what; None where the texts have no queries.
        source: where the texts come from.
        caveats: what a reader must know before any number.
        command: the command line that repeats it.
        settings: the resolved settings.
        versions: library -> version.
        timings: stage -> seconds.
    """

    title: str
    protocol: str
    model: Model
    neurons: NeuronFindings
    collection: CollectionFacts | None = None
    source: str = ""
    caveats: tuple[str, ...] = ()
    command: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if list(self.neurons.sides) != [SINGLE]:
            raise AnalysisError(
                f"a report of one retriever with the neurons of {list(self.neurons.sides)}",
                where="neuron report",
                fix=f"give one side, {SINGLE!r}",
            )

    @property
    def side(self) -> NeuronSide:
        """The attribution."""
        return self.neurons.sides[SINGLE]

    @property
    def on(self) -> str:
        """The name of what was attributed on."""
        return self.source if self.collection is None else self.collection.name


def neuron_verdict(report: NeuronReport) -> tuple[tuple[Statement, ...], tuple[Statement, ...]]:
    """The alarms, and every other statement in order; all are marked where a self-test failed."""
    failed = report.model.failed_tests
    alarms = [_failed(report.model)] if failed else []
    mark = ("rests on a model that failed a self-test (see above)",) if failed else ()
    said = [s.doubted(*mark) for s in neuron_statements(report.neurons)]
    return (*alarms, *(s for s in said if s.tone == ALARM)), tuple(s for s in said if s.tone != ALARM)


def _failed(model: Model) -> Statement:
    tests = "; ".join(model.failed_tests)
    text = f"SELF-TEST FAILED ({model.name}): {tests}. Every conclusion is marked."
    return Statement("self-tests", ALARM, text, (SINGLE,))


def write_neuron_report(report: NeuronReport, folder: Path) -> Path:
    """Write report.html, tables/ and figures/ into `folder` and return the path of the page.

    Of a report that is already there, each part is replaced as a whole; other files stay.
    """
    figures = draw_neurons(report.neurons)
    alarms, statements = neuron_verdict(report)
    values = {"f": report, "n": report.neurons, "alarmed": alarms, "statements": statements}
    values |= {"unconfirmed": (), "prefix": ""}
    page = fill("neurons.html.j2", figures, neuron_papers(report.neurons), values)
    write_neuron_tables(report.neurons, folder / "tables")
    write_figures(figures, folder / "figures")
    return write_whole(folder / "report.html", page.encode())
