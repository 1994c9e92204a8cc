"""What a run of the command line is, for annotations and the tests' own options."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code and what it wrote."""

    code: int
    out: str
    err: str


Cli = Callable[..., Done]

QUICK = (
    "--pooling mean --measures RR@10,R@10 --probes cosine --controls none --passages 2 --seeds 1 "
    "--set statistics.resamples=200 --set statistics.permutations=200 "
    "--set neurons.attribution.limit=4 --set neurons.attribution.quadrature=gauss:2 --set neurons.ablation.draws=1"
)
