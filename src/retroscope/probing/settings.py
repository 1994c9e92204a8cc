"""Settings of the probes, and the protocols "default" and "ielab-2025"."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Annotated

from retroscope.encoders.settings import PUBLISHED_PROTOCOL
from retroscope.errors import SettingsError, unknown_name
from retroscope.probing.controls import CONTROLS
from retroscope.probing.options import ConcatTraining, Options
from retroscope.probing.splits import Split, disjoint_split, published_split
from retroscope.probing.tasks import Task
from retroscope.ranges import AnyNumber, Distinct, OneOrMore, Positive, Range, check_ranges

# Those of `probes.PROBES`; and "mdl", which has no test part: it codes every query (see `mdl.py`).
KNOWN_PROBES: tuple[str, ...] = (
    "dot", "cosine", "passage_only", "elementwise", "bilinear", "mean_difference", "concat", "mdl",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Defaults of one protocol of probing: split, probes, controls and seeds.

    Attributes:
        split: function that splits all probe examples into training, validation and test, by a seed.
        probes: probes that run if the settings name none.
        controls: controls that run if the settings name none.
        first_seed: the first seed. The further seeds are the next whole numbers.
        first_index_wins: whether `concat` gives a tie to the slot with the lowest index, as published.
        as_given: whether probe examples are the unchanged rows of the published data. A negative may then be a relevant
            passage.
    """

    split: Callable[[Task, int], Split]
    probes: tuple[str, ...]
    controls: tuple[str, ...]
    first_seed: int = 0
    first_index_wins: bool = False
    as_given: bool = False


Penalty = Annotated[float, Range(0, 10**12, open=True)]
PROTOCOLS: dict[str, Protocol] = {
    "default": Protocol(
        split=disjoint_split,
        probes=("dot", "cosine", "passage_only", "elementwise", "bilinear", "mean_difference", "mdl"),
        controls=tuple(CONTROLS),
    ),
    PUBLISHED_PROTOCOL: Protocol(
        split=published_split,
        probes=("concat",),
        controls=("none",),
        first_seed=42,
        first_index_wins=True,
        as_given=True,
    ),
}


@dataclass(frozen=True, kw_only=True)
class ProbeSettings:
    """Settings of the probes. A field that is None is taken from the protocol.

    Attributes:
        protocol: "default" or "ielab-2025".
        probes: names in `PROBES`, and "mdl".
        controls: names in `CONTROLS`. "none" is the measurement itself.
        passages: the numbers N of candidates to choose among. Chance is 1/N.
        seeds: number of splits. Under "default", 5 splits test every query exactly once.
        layers: the layers to probe; all by default.
        ridge: penalties to try. The validation queries select one. A penalty is the weight of |w|^2 / 2 relative to the
            mean loss of a probe example, for features with unit spread within a probe example. At the largest penalty
            the weights vanish, and a probe that uses the query becomes the retriever's similarity itself.
        rank: number of principal directions of queries, and of passages. `bilinear` uses products of the coordinates
            along these directions.
        tolerance: a fit counts as converged if its loss is less than this above the minimum, in nats.
        max_iterations: number of iterations after which a fit is reported as not converged.
        concat: settings for training the published probe `concat`.
    """

    protocol: str = "default"
    probes: tuple[str, ...] | None = None
    controls: tuple[str, ...] | None = None
    passages: tuple[Annotated[int, Range(2, 1000)], ...] = (2, 3, 4, 5)
    seeds: Annotated[int, Range(1, 10_000)] = 5
    layers: Annotated[tuple[AnyNumber, ...], Distinct()] | None = None
    ridge: Annotated[tuple[Penalty, ...], Distinct()] = (
        0.1,
        0.3,
        1.0,
        3.0,
        10.0,
        1000.0,
    )
    rank: OneOrMore = 16
    tolerance: Positive = 1e-4
    max_iterations: OneOrMore = 300
    concat: ConcatTraining = field(default_factory=ConcatTraining)

    def __post_init__(self) -> None:
        check_ranges(self)
        _check_names("protocol", (self.protocol,), PROTOCOLS)
        _check_names("probe", self.chosen_probes, KNOWN_PROBES)
        _check_names("control", self.chosen_controls, CONTROLS)
        if not self.passages or list(self.passages) != sorted({*self.passages}):
            raise SettingsError(
                f"invalid probes.passages {self.passages}: it is empty or not in rising order",
                fix="give the numbers of candidates in rising order, from 2 up, e.g. 2,3,4,5",
            )
        if not self.ridge:
            raise SettingsError(
                "probes.ridge is an empty list", fix="give at least one ridge penalty above 0, e.g. 0.1"
            )

    @property
    def rules(self) -> Protocol:
        """Return the defaults of the protocol that the settings name."""
        return PROTOCOLS[self.protocol]

    @property
    def chosen_probes(self) -> tuple[str, ...]:
        """Return the names of the probes to run: those of the settings, or else those of the protocol."""
        return self.rules.probes if self.probes is None else self.probes

    @property
    def chosen_controls(self) -> tuple[str, ...]:
        """Return the names of the controls to run: those of the settings, or else those of the protocol."""
        return self.rules.controls if self.controls is None else self.controls

    @property
    def options(self) -> Options:
        """Return the settings that the function of a probe uses: ridges, rank, tolerance and training of `concat`."""
        return Options(
            ridge=self.ridge,
            rank=self.rank,
            tolerance=self.tolerance,
            max_iterations=self.max_iterations,
            concat=self.concat,
            first_index_wins=self.rules.first_index_wins,
        )

    @property
    def seed_values(self) -> tuple[int, ...]:
        """Return the seeds of all splits, such as 0 to 4."""
        return tuple(range(self.rules.first_seed, self.rules.first_seed + self.seeds))


def _check_names(kind: str, names: tuple[str, ...], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise unknown_name(kind, name, known)
    if not names or len({*names}) < len(names):
        raise SettingsError(
            f"the list of {kind}s {names} is empty or repeats a name",
            fix=f"give at least one {kind}, and each {kind} once",
        )
