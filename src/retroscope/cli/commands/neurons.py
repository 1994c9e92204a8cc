"""`retroscope neurons MODEL --data SPEC | --texts FILE --out DIR`: attribute a model's neurons."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from retroscope.cli import names
from retroscope.cli.defaults import option, written
from retroscope.cli.groups import flat
from retroscope.cli.loading import load_libraries
from retroscope.cli.options import shared as o
from retroscope.cli.options.run import RunOptions
from retroscope.cli.studies import carry_out_study
from retroscope.cli.switches import all_but, refuse_without_effect
from retroscope.cli.values import comma_separated, given, in_bytes, model_values, shares
from retroscope.errors import SettingsError

if TYPE_CHECKING:
    from retroscope.cli.running import Plan
    from retroscope.progress import Progress

EXAMPLE = "retroscope neurons facebook/contriever --pooling mean --data beir:data/nq --out runs/neurons"
ATTRIBUTION = "attribution.settings:AttributionSettings"
OF_TEXTS = {"neurons.attribution.limit": 0, "neurons.attribution.target": "norm"}  # a file of texts has no queries
ABLATION = "analyses.neurons.settings:NeuronAblationSettings"


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Options that name the texts: a collection, or a file of texts."""

    HEADING: ClassVar[str] = "Texts"

    data: o.AnyData = None
    texts: Annotated[
        Path | None,
        option(
            "--texts", help="File of the texts to attribute instead of --data: one text per line, UTF-8", metavar="FILE"
        ),
    ] = None
    split: Annotated[
        str | None,
        option(
            "--split",
            help="Split of the judgments (qrels) to use, e.g. test",
            metavar="NAME",
            default="test, else the only one",
        ),
    ] = None

    def check(self) -> None:
        """Refuse a command that names both a collection and a file of texts, or neither.

        Raises:
            SettingsError: if both are named, or neither.
        """
        if (self.data is None) == (self.texts is None):
            raise SettingsError(
                "neither --data nor --texts is given" if self.data is None else "both --data and --texts are given",
                fix="give --data SPEC for queries and passages, or --texts FILE for a file of texts",
            )


@dataclass(frozen=True, kw_only=True)
class AttributionOptions:
    """Options of the attribution to neurons: tower, target, method, matrices, examples and memory."""

    HEADING: ClassVar[str] = "Attribution"

    tower: Annotated[
        str | None,
        option("--tower", help="Tower whose neurons are attributed: query, passage or both", metavar="NAME",
               default="passage", known=names.ATTRIBUTED_TOWERS, kind="tower"),
    ] = None  # fmt: skip
    target: Annotated[
        str | None,
        option("--target", help="Quantity that is attributed to neurons: the vector's norm, the relevant passage's "
               "score, or its margin over a hard negative", metavar="NAME",
               default=written(f"{ATTRIBUTION}.target", "margin"), known=names.TARGETS, kind="target"),
    ] = None  # fmt: skip
    method: Annotated[
        str | None,
        option("--method", help=f"Method of attribution to neurons: {', '.join(names.METHODS)}", metavar="NAME",
               default=written(f"{ATTRIBUTION}.method", "weight_path"), known=names.METHODS, kind="method"),
    ] = None  # fmt: skip
    quadrature: Annotated[
        str | None,
        option(
            "--quadrature",
            help="Quadrature rule of the path integral: ielab-20, trapezoid:N, midpoint:N, gauss:N (N nodes) or "
            "auto:TOLERANCE[:MOST] (at most MOST nodes)",
            metavar="RULE",
            default="the method's",
        ),
    ] = None
    parts: Annotated[
        str | None,
        option("--parts", help="FFN matrices whose outputs are the neurons: intermediate, output, up (gated FFNs)",
               metavar="NAMES", default=written(f"{ATTRIBUTION}.parts", "intermediate,output"), known=names.PARTS,
               kind="part", joint=","),
    ] = None  # fmt: skip
    thresholds: Annotated[
        str | None,
        option("--thresholds", help="Thresholds above which a neuron counts as active, as shares of the example's "
                                    "largest attribution",
               metavar="NUMBERS", default=written(f"{ATTRIBUTION}.thresholds", "0.01,0.1,0.2,0.5")),
    ] = None  # fmt: skip
    batch_size: Annotated[
        int | None,
        option("--batch-size", help="Number of texts per batch, in the order of the file or collection. With "
        "ielab-2025, vectors depend on the batch, because mean pooling counts padding",
               metavar="N", default="texts of similar length together"),
    ] = None  # fmt: skip
    examples: Annotated[
        int | None,
        option("--examples", help="Largest number of examples (queries, or lines of --texts) whose attribution is "
                                  "computed, drawn at random (seed: neurons.attribution.seed); 0: all", metavar="N",
               default=f"{written(f'{ATTRIBUTION}.limit', '32')}; all with --texts"),
    ] = None  # fmt: skip
    memory: Annotated[
        str | None,
        option(
            "--memory",
            help="Memory that the attribution may use, e.g. 4GiB",
            metavar="SIZE",
            default="a quarter of what is free",
        ),
    ] = None
    precision: Annotated[
        str | None,
        option("--precision", help="Precision of the attribution: float32, tf32, bfloat16 or float16; "
                                   "summary.json records how far the attributions of one batch differ from those "
                                   "in float32",
               metavar="NAME", default=written(f"{ATTRIBUTION}.precision", "float32"),
               known=names.ATTRIBUTION_PRECISIONS, kind="precision"),
    ] = None  # fmt: skip

    def values(self) -> o.SettingValues:
        """Return the attribution settings by dotted name. None stands for an option that was not given."""
        return {
            "neurons.attribution.tower": self.tower,
            "neurons.attribution.target": self.target,
            "neurons.attribution.method": self.method,
            "neurons.attribution.quadrature": self.quadrature,
            "neurons.attribution.parts": comma_separated(self.parts),
            "neurons.attribution.thresholds": shares(self.thresholds, "--thresholds"),
            "neurons.attribution.batch_size": self.batch_size,
            "neurons.attribution.limit": self.examples,
            "neurons.attribution.memory": in_bytes(self.memory),
            "neurons.attribution.precision": self.precision,
        }


@dataclass(frozen=True, kw_only=True)
class AblationOptions:
    """Options of the neuron ablation: whether it is measured, and the fractions of neurons to ablate."""

    HEADING: ClassVar[str] = "Neuron ablation"

    no_ablation: Annotated[
        bool, option("--no-ablation", help="Measure attributions only, without ablating neurons")
    ] = False
    fractions: Annotated[
        str | None,
        option("--fractions", help="Fractions of the neurons to ablate, in increasing order, e.g. .01,.05",
               metavar="NUMBERS", default=written(f"{ABLATION}.fractions", "0.001,0.003,0.01,0.03,0.1,0.3")),
    ] = None  # fmt: skip

    def values(self) -> o.SettingValues:
        """Return the ablation settings by dotted name. None stands for an option that was not given."""
        return {"neurons.ablation.fractions": shares(self.fractions, "--fractions")}


@flat()
def run(
    model: o.ModelArgument,
    source: SourceOptions,
    models: o.ModelOptions,
    attribution: AttributionOptions,
    ablation: AblationOptions,
    options: RunOptions,
    output: o.ReportOptions,
    protocol: o.ProtocolOption = None,
) -> None:
    """Measure which FFN neurons retrieval depends on.

    The command attributes a quantity, such as a retrieval score, to every neuron. Ablating the top neurons then
    tests the ranking of the neurons.
    """
    source.check()
    values = {
        "after": model_values(model, models.values()),
        "data": given(source=source.data, split=source.split),
        "protocol": protocol,
        "random_weights": False,
        **attribution.values(),
        **ablation.values(),
    }
    left_out = all_but("neurons") | ({"neurons.ablation": "--no-ablation"} if ablation.no_ablation else {})
    if source.texts is None:
        carry_out_study(values, left_out, options, output, asked=("neurons",))
    else:
        _of_texts(source.texts, values, left_out, options, output)


def _of_texts(
    texts: Path,
    values: o.SettingValues,
    left_out: Mapping[str, str],
    options: RunOptions,
    output: o.ReportOptions,
) -> None:
    """Attribute neurons on a file of texts. Without queries, no ablation can be measured."""
    from retroscope.cli.resolve import resolve
    from retroscope.cli.running import Destination, carry_out
    from retroscope.inputs.cache import default_cache
    from retroscope.inputs.sources import check_sources_and_pooling
    from retroscope.study.folder import SETTINGS, WRITTEN

    off = {"neurons.ablation": "--texts", **left_out}
    refuse_without_effect(values, options.assignments, off)
    cache = options.cache or default_cache()
    settings = check_sources_and_pooling(
        resolve(values, options.settings, options.assignments, unless_given=OF_TEXTS, left_out=[*off])
    )

    def prepare(progress: "Progress") -> "Plan":
        load_libraries()
        from retroscope.cli.plans.texts import plan_neurons_of_texts

        return plan_neurons_of_texts(settings, texts, cache, options.engine)

    carry_out(
        prepare,
        Destination(out=output.out, cache=cache, replaced=WRITTEN, owner=SETTINGS),
        dry_run=output.dry_run,
        as_json=output.as_json,
    )
