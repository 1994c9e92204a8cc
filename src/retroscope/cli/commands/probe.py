"""`retroscope probe MODEL --data SPEC`: probe the layers of one model."""

from retroscope.cli.groups import flat
from retroscope.cli.options import shared as o
from retroscope.cli.options.run import RunOptions
from retroscope.cli.studies import carry_out_study
from retroscope.cli.switches import all_but
from retroscope.cli.values import comma_separated, model_values

EXAMPLE = "retroscope probe facebook/contriever --pooling mean --data beir:data/nq --probes cosine,bilinear"
RANDOM_WEIGHTS = "random_weights"


@flat()
def run(
    model: o.ModelArgument,
    data: o.DataOptions,
    models: o.ModelOptions,
    probes: o.ProbeOptions,
    options: RunOptions,
    output: o.OutputOptions,
    protocol: o.ProtocolOption = None,
) -> None:
    """Measure at which layers relevance can be read.

    The command fits probes to the vectors of every layer, runs the controls of the probes, and reports accuracies
    with confidence intervals.
    """
    controls = comma_separated(probes.controls)
    values = {
        "after": model_values(model, models.values()),
        **data.values(),
        "protocol": protocol,
        **probes.values(),
        "random_weights": RANDOM_WEIGHTS in controls if controls else None,  # None: as the protocol has it
    }
    carry_out_study(values, all_but("probes"), options, output, asked=("probes",))
