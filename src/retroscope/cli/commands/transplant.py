"""`retroscope transplant BEFORE AFTER --data SPEC`: measure which fine-tuned weights retrieval needs."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from retroscope.cli import names
from retroscope.cli.defaults import option, written
from retroscope.cli.groups import flat
from retroscope.cli.options import shared as o
from retroscope.cli.options.run import RunOptions
from retroscope.cli.studies import carry_out_study
from retroscope.cli.switches import all_but
from retroscope.cli.values import comma_separated, measures

EXAMPLE = "retroscope transplant bert-base-uncased facebook/contriever --pooling mean --data beir:data/nq --out runs/t"
SWEEP = "analyses.transplants.settings:SweepSettings"


@dataclass(frozen=True, kw_only=True)
class TransplantOptions:
    """Options of exchanging weights between backbone and retriever, and of measuring the mixed models."""

    HEADING: ClassVar[str] = "Transplants"

    transplants: Annotated[
        str | None,
        option(
            "--transplants",
            help="Transplants to measure, comma-separated. Each name says which weights are copied, e.g. block:3, "
            "top:2 (last 2 blocks and final norm), bottom:2 (embeddings and first 2 blocks), attention (of all blocks)",
            metavar="NAMES",
            default="all of them",
        ),
    ] = None
    groups: Annotated[
        int | None,
        option(
            "--groups",
            help="Largest number of groups of neighbouring blocks to transplant; 0: each block alone",
            metavar="N",
            default=written(f"{SWEEP}.groups", "4"),
        ),
    ] = None
    split_groups: Annotated[
        bool | None,
        option(
            "--split-groups/--no-split-groups",
            help="Also transplant each block alone of every group with a significant effect",
            default=written(f"{SWEEP}.split_groups", "False"),
        ),
    ] = None
    measures: o.Measures = None
    passages: Annotated[
        int | None,
        option(
            "--passages",
            help="Number of passages in the sample to search; 0: all passages",
            metavar="N",
            default=written(f"{SWEEP}.passages", "150"),
        ),
    ] = None
    interactions: o.InteractionsOption = None
    precision: Annotated[
        str | None,
        option("--precision", help="Precision in which models with transplanted weights run: float32, tf32, bfloat16 "
        "or float16; the report compares the effect of transplanting all weights with that in float32",
               metavar="NAME", default=written(f"{SWEEP}.precision", "float32"),
               known=names.ATTRIBUTION_PRECISIONS, kind="precision"),
    ] = None  # fmt: skip

    def values(self) -> o.SettingValues:
        """Return the transplant settings by dotted name. None stands for an option that was not given."""
        return {
            "measures": measures(self.measures),
            "transplants.transplants": comma_separated(self.transplants),
            "transplants.groups": self.groups,
            "transplants.split_groups": self.split_groups,
            "transplants.passages": self.passages,
            "transplants.interactions": self.interactions,
            "transplants.precision": self.precision,
        }


@flat()
def run(
    pair: o.Pair,
    data: o.DataOptions,
    models: o.ModelOptions,
    transplants: TransplantOptions,
    options: RunOptions,
    output: o.OutputOptions,
) -> None:
    """Measure which of the fine-tuned weights retrieval needs.

    The command puts weights of one model into the other and measures retrieval. Each transplant replaces one block or
    one part (e.g. attention), or averages all weights of both models. Nothing is trained.
    """
    values = pair.values(models) | data.values() | transplants.values() | {"random_weights": False}
    carry_out_study(values, all_but("transplants", pair=True), options, output, asked=("transplants",))
