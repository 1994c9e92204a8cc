"""Options of the engine: where the work runs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from retroscope.cli.defaults import option, written

if TYPE_CHECKING:
    from retroscope.engine.choice import Engine


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Where the work runs; no number depends on it."""

    HEADING: ClassVar[str] = "Engine"

    engine: Annotated[
        str,
        option(
            "--engine",
            help="Where to run: local, ray, or ray:ADDRESS of a cluster",
            metavar="NAME",
            default=written("engine.choice:Engine.name", "local"),
        ),
    ] = "local"
    workers: Annotated[
        int | None,
        option(
            "--workers",
            help="Number of Ray workers, each with a model of its own",
            metavar="N",
            default="as many as the cluster has room for",
        ),
    ] = None

    def chosen(self, told: Callable[[str], None]) -> "Engine":
        """Return the engine.

        Args:
            told: receives what happens to shards and workers, in sentences.

        Raises:
            SettingsError: for an unknown name, or a number of workers that it cannot have.
        """
        from retroscope.engine.choice import engine_of

        return engine_of(self.engine, self.workers, told)
