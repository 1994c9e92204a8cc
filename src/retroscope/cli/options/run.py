"""Options of a run: settings, cache, and where texts are encoded (`--engine` and `--workers`)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from retroscope.cli.defaults import option, written
from retroscope.cli.options import shared as o

if TYPE_CHECKING:
    from retroscope.engine.choice import Engine


EngineName = Annotated[
    str,
    option(
        "--engine",
        help="Where texts are encoded: local, ray, or ray:ADDRESS of a cluster",
        metavar="NAME",
        default=written("engine.choice:Engine.name", "local"),
    ),
]
Workers = Annotated[
    int | None,
    option(
        "--workers",
        help="Number of Ray workers; each worker loads its own copy of the model",
        metavar="N",
        default="as many as the cluster has room for",
    ),
]


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Options of the engine (local or Ray) that encodes the texts. They do not change any result."""

    HEADING: ClassVar[str] = "Engine"

    engine: EngineName = "local"
    workers: Workers = None


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of a run: settings, cache, engine and workers."""

    settings: o.SettingsFile = None
    assignments: o.Set = None
    cache: o.Cache = None
    engine: EngineName = "local"
    workers: Workers = None


def chosen_engine(options: EngineOptions | RunOptions) -> "Engine":
    """Return the engine (this process or Ray) that encodes the texts, as the options name it.

    It prints notes on lost workers and repeated work on standard error.

    Raises:
        SettingsError: for an unknown name, or a number of workers that the engine cannot have.
    """
    from retroscope.cli.terminal import note
    from retroscope.engine.choice import engine_of

    return engine_of(options.engine, options.workers, note)
