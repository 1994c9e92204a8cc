"""retroscope compare BEFORE AFTER --data SPEC --out DIR."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from retroscope.cli import options as o
from retroscope.cli.defaults import option
from retroscope.cli.groups import flat
from retroscope.cli.run_options import RunOptions
from retroscope.cli.studies import Gates, carry_out_study, judge
from retroscope.cli.switches import Switches, switches
from retroscope.cli.values import given, measures, model_values

EXAMPLE = "retroscope compare bert-base-uncased facebook/contriever --pooling mean --data beir:data/nq --out runs/nq"


@dataclass(frozen=True, kw_only=True)
class StudyOptions(o.SizeOptions):
    """Options of a study besides its pair and first collection."""

    HEADING: ClassVar[str] = "Study"

    also: Annotated[
        list[str] | None,
        option("--also", help="Further collection (out of domain) to measure on; may be repeated", metavar="SPEC"),
    ] = None
    training: Annotated[
        list[str] | None,
        option(
            "--training",
            help="Another training run of the retriever, e.g. a second seed, for intervals over training runs; "
            "may be repeated",
            metavar="MODEL",
        ),
    ] = None
    protocol: o.ProtocolOption = None
    measures: o.Measures = None
    margin: Annotated[
        float | None,
        option(
            "--margin",
            help="Smallest difference that matters, e.g. .01: smaller effects are tested for equivalence",
            metavar="X",
            default="no test of equivalence",
        ),
    ] = None
    gate: Gates = None
    interactions: o.InteractionsOption = None
    no_random_weights: Annotated[
        bool, option("--no-random-weights", help="Leave out the control: copies of the models with random weights")
    ] = False
    name_before: Annotated[
        str | None, option("--name-before", help="Name of the backbone in the report", metavar="NAME",
                           default="the last part of BEFORE")
    ] = None  # fmt: skip
    name_after: Annotated[
        str | None, option("--name-after", help="Name of the retriever in the report", metavar="NAME",
                           default="the last part of AFTER")
    ] = None  # fmt: skip

    def values(self, pair: o.Pair, models: o.ModelOptions) -> o.SettingValues:
        """Return the settings of the study and its models."""
        load = models.values()
        return {
            "before": model_values(pair.before, load | given(name=self.name_before)),
            "after": model_values(pair.after, load | given(name=self.name_after)),
            "trainings": [model_values(one, load) for one in self.training] if self.training else None,
            "also": [{"source": spec} for spec in self.also] if self.also else None,
            "protocol": self.protocol,
            "measures": measures(self.measures),
            "random_weights": False if self.no_random_weights else None,
            "statistics.margin": self.margin,
            "transplants.interactions": self.interactions,
        }


GROUPS = (
    o.Pair, o.DataOptions, o.ModelOptions, StudyOptions, o.SizeOptions, o.ProbeOptions, RunOptions, o.ReportOptions
)  # fmt: skip


@flat(chosen=switches(*GROUPS))
def run(
    pair: o.Pair,
    data: o.DataOptions,
    models: o.ModelOptions,
    study: StudyOptions,
    probes: o.ProbeOptions,
    chosen: Switches,
    options: RunOptions,
    output: o.ReportOptions,
) -> None:
    """Measure what fine-tuning changed, and report it.

    Both models are measured the same way on the same collection and paired by query.
    """
    values = study.values(pair, models) | data.values() | probes.values()
    from retroscope.study.reporting.gate import parse_gate

    gates = [parse_gate(text) for text in study.gate or ()]
    outcome = carry_out_study(values, chosen.left_out, options, output, chosen.asked, size=study, gates=gates)
    from retroscope.study.outcome import StudyOutcome  # imports torch, which the plan has done by now

    if isinstance(outcome, StudyOutcome):
        judge(outcome.study.report_contents, gates)
