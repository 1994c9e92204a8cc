"""`retroscope compare BEFORE AFTER ... --data SPEC --out DIR`: measure what fine-tuning changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from retroscope.cli.defaults import option
from retroscope.cli.groups import flat
from retroscope.cli.names import ATTRIBUTION_PRECISIONS
from retroscope.cli.options import shared as o
from retroscope.cli.options.run import RunOptions
from retroscope.cli.options.sizes import SizeOptions
from retroscope.cli.several import carry_out_set
from retroscope.cli.studies import Gates, carry_out_study, judge, judge_all
from retroscope.cli.switches import Switches, switches
from retroscope.cli.values import given, measures, model_values
from retroscope.errors import SettingsError
from retroscope.number_format import count

if TYPE_CHECKING:
    from retroscope.inputs.settings import StudySettings

EXAMPLE = "retroscope compare bert-base-uncased facebook/contriever --pooling mean --data beir:data/nq --out runs/nq"


@dataclass(frozen=True, kw_only=True)
class Retrievers:
    """The models of a comparison: one backbone, and the retrievers fine-tuned from it."""

    before: Annotated[
        str, typer.Argument(help="Backbone before fine-tuning: a folder, a hub name or a GGUF file", metavar="BEFORE")
    ]
    after: Annotated[
        list[str],
        typer.Argument(
            help="Retriever fine-tuned from BEFORE: a model, or two towers as query=NAME,passage=NAME. May be "
            "repeated: each retriever gets its own study",
            metavar="AFTER",
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class StudyOptions(SizeOptions):
    """Options of a comparison, except its models and its first collection."""

    HEADING: ClassVar[str] = "Study"

    also: Annotated[
        list[str] | None,
        option(
            "--also",
            help="Further collection to measure both models on, e.g. of another domain; may be repeated",
            metavar="SPEC",
        ),
    ] = None
    training: Annotated[
        list[str] | None,
        option(
            "--training",
            help="Another training run of the retriever, e.g. with a second seed, for intervals over training "
            "runs; may be repeated",
            metavar="MODEL",
        ),
    ] = None
    protocol: o.ProtocolOption = None
    measures: o.Measures = None
    margin: Annotated[
        float | None,
        option(
            "--margin",
            help="Equivalence margin X, e.g. .01: test whether the change of each measure and probe accuracy lies "
            "within +-X",
            metavar="X",
            default="no test of equivalence",
        ),
    ] = None
    gate: Gates = None
    interactions: o.InteractionsOption = None
    precision: Annotated[
        str | None,
        option(
            "--precision",
            help="Precision of ablated models and of models with transplanted weights: float32, tf32, bfloat16 or "
            "float16. Its effect is measured in a pilot, and refused if it is too large",
            metavar="NAME",
            default="float32",
            known=ATTRIBUTION_PRECISIONS,
            kind="precision",
        ),
    ] = None
    no_random_weights: Annotated[
        bool,
        option(
            "--no-random-weights",
            help="Leave out the random-weight control, which measures copies of the models with random weights",
        ),
    ] = False
    name_before: Annotated[
        str | None, option("--name-before", help="Name of the backbone in the report", metavar="NAME",
                           default="the last part of BEFORE")
    ] = None  # fmt: skip
    name_after: Annotated[
        list[str] | None,
        option("--name-after", help="Name of the retriever in the report; may be repeated, once for every AFTER",
               metavar="NAME", default="the last part of AFTER")
    ] = None  # fmt: skip

    def applied(self, settings: "StudySettings", assignments: Sequence[str]) -> "StudySettings":
        """Return the settings with the precision of every intervention that is measured. `--set` overrides it.

        Raises:
            SettingsError: if no intervention then runs in this precision.
        """
        from retroscope.inputs.settings_files import changed, flattened
        from retroscope.study.planning.depths import with_precision

        if self.precision is None:
            return settings
        return with_precision(settings, self.precision, flattened(changed({}, assignments)).keys())

    def values(self, pair: Retrievers, number: int, models: o.ModelOptions) -> o.SettingValues:
        """Return the settings of the study of one retriever. `number` is its index in AFTER, from 0.

        Raises:
            SettingsError: if there are more or fewer names than retrievers.
        """
        names = list(self.name_after or ()) or len(pair.after) * [None]
        if len(names) != len(pair.after):
            raise SettingsError(
                f"--name-after is given {count(len(names), 'time')} for {count(len(pair.after), 'retriever')} (AFTER)",
                fix="give --name-after once for every AFTER, in the same order, or leave out --name-after",
            )
        load = models.values()
        return {
            "before": model_values(pair.before, load | given(name=self.name_before)),
            "after": model_values(pair.after[number], load | given(name=names[number])),
            "trainings": [model_values(training, load) for training in self.training] if self.training else None,
            "also": [{"source": spec} for spec in self.also] if self.also else None,
            "protocol": self.protocol,
            "measures": measures(self.measures),
            "random_weights": False if self.no_random_weights else None,
            "statistics.margin": self.margin,
            "transplants.interactions": self.interactions,
        }


GROUPS = (
    Retrievers, o.DataOptions, o.ModelOptions, StudyOptions, SizeOptions, o.ProbeOptions, RunOptions, o.ReportOptions
)  # fmt: skip


@flat(chosen=switches(*GROUPS))
def run(
    pair: Retrievers,
    data: o.DataOptions,
    models: o.ModelOptions,
    study: StudyOptions,
    probes: o.ProbeOptions,
    chosen: Switches,
    options: RunOptions,
    output: o.ReportOptions,
) -> None:
    """Measure what fine-tuning changed, and report it.

    Backbone (BEFORE) and retriever (AFTER) are measured the same way on the same collection and paired by query.
    With several AFTER, DIR/NAME has the study of each retriever, and DIR/report.html compares the studies.
    """
    values = [study.values(pair, n, models) | data.values() | probes.values() for n in range(len(pair.after))]
    from retroscope.study.reporting.gate import parse_gate

    gates = [parse_gate(text) for text in study.gate or ()]
    if len(values) > 1:
        if study.training:
            raise SettingsError(
                f"--training needs exactly one retriever (AFTER), but {len(values)} are given",
                fix="give one AFTER, or leave out --training",
            )
        together = carry_out_set(values, chosen.left_out, options, output, chosen.asked, size=study, gates=gates)
        from retroscope.study.several.outcome import SetOutcome

        if isinstance(together, SetOutcome):
            judge_all({name: together.studies[name].report_contents for name in together.studies}, gates)
        return
    outcome = carry_out_study(values[0], chosen.left_out, options, output, chosen.asked, size=study, gates=gates)
    from retroscope.study.outcome import StudyOutcome  # imports torch, which the plan has done by now

    if isinstance(outcome, StudyOutcome):
        judge(outcome.study.report_contents, gates)
