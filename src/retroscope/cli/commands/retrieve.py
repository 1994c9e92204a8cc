"""`retroscope retrieve MODEL --data SPEC`: measure one model's retrieval."""

from dataclasses import dataclass
from typing import Annotated

from retroscope.cli.defaults import option
from retroscope.cli.groups import flat
from retroscope.cli.options import shared as o
from retroscope.cli.options.run import RunOptions
from retroscope.cli.studies import carry_out_study
from retroscope.cli.switches import all_but
from retroscope.cli.values import measures as measures_of
from retroscope.cli.values import model_values, stored_layers

EXAMPLE = "retroscope retrieve facebook/contriever --pooling mean --data beir:data/nq --out runs/contriever"


@dataclass(frozen=True, kw_only=True)
class LayerOptions:
    """The layers whose vectors are searched, and those whose vectors are stored."""

    layers: Annotated[
        bool, option("--layers", help="Search with the vectors of every layer, too, not only with the final vectors")
    ] = False
    store_layers: o.StoreLayers = None


@flat()
def run(
    model: o.ModelArgument,
    data: o.DataOptions,
    models: o.ModelOptions,
    by_layer: LayerOptions,
    options: RunOptions,
    output: o.OutputOptions,
    protocol: o.ProtocolOption = None,
    measures: o.Measures = None,
) -> None:
    """Measure how well a retriever finds the relevant passages.

    The search is exact, and every measure is reported with a confidence interval. With --out, the command also
    writes a report and a TREC run file.
    """
    values = {
        "after": model_values(model, models.values()),
        **data.values(),
        "protocol": protocol,
        "measures": measures_of(measures),
        "random_weights": False,
        "extraction.layers": stored_layers(by_layer.store_layers),
    }
    carry_out_study(values, all_but("retrieval", *(("layers",) if by_layer.layers else ())), options, output)
