"""What a run of the command line is, for annotations and the tests' own options."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from typer.core import TyperGroup
from typer.main import get_command

from retroscope.cli.main import make_app


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
OTHERS = "--no-probes --no-neurons --no-baselines --no-transplants --no-representations --no-weights"
FEW = (  # retrieval, by layer too
    f"--pooling mean --measures RR@10,R@10 {OTHERS} --no-random-weights "
    "--set statistics.resamples=200 --set statistics.permutations=200"
)


def every_command() -> Mapping[str, Any]:
    """Every command by its name, as typer reads it."""
    group = get_command(make_app())
    assert isinstance(group, TyperGroup)
    return group.commands
