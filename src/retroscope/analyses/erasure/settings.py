"""Settings of the analysis of erasure. No torch."""

from dataclasses import dataclass
from typing import Annotated

from retroscope.errors import SettingsError
from retroscope.ranges import AnyNumber, Distinct, OneOrMore, OpenFraction, Range, Seed, check_ranges
from retroscope.retrieval.measures import parse_measure


@dataclass(frozen=True, kw_only=True)
class ErasureSettings:
    """Settings of erasure: the layers and the numbers of directions to erase, the controls, and the measure.

    Attributes:
        layers: layers at which directions are erased, one layer at a time. If None, all layers.
        ranks: numbers of directions that are erased. Each number is measured separately.
        draws: number of random subspaces of each rank. The same number is drawn again so that each also removes the
            same share of the variance as the erasure does.
        shuffles: number of shuffles of the training pairs. An erasure that is fitted to shuffled pairs is a control: it
            must harm retrieval no more than random subspaces.
        train_share: share of the query texts whose pairs the erasers are fitted to. The others are held out.
        measure: ir-measures name. If None, the headline measure of the study.
        passages: number of passages that are sampled from a larger corpus and searched (`inputs.sampled`). 0 searches
            the whole corpus.
        choices: number of passages that the probe chooses among: a relevant one, and relevant ones of other queries.
        seeds: number of splits of the held-out queries for the probe.
        seed: seed of the split, the random subspaces and the sample.
        batch_tokens: number of padded tokens in a batch. None chooses a number that suits the device.
    """

    layers: Annotated[tuple[AnyNumber, ...], Distinct()] | None = None
    ranks: Annotated[tuple[OneOrMore, ...], Distinct()] = (2, 6)
    draws: Annotated[int, Range(2, 10_000, why="one draw has no spread")] = 8
    shuffles: Annotated[int, Range(2, 1000, why="one shuffle has no spread")] = 4
    train_share: OpenFraction = 0.5
    measure: str | None = None
    passages: AnyNumber = 750
    choices: Annotated[int, Range(2, 1000)] = 5
    seeds: Annotated[int, Range(1, 10_000)] = 5
    seed: Seed = 0
    batch_tokens: OneOrMore | None = None

    def __post_init__(self) -> None:
        check_ranges(self)
        if not self.ranks or self.layers == ():
            raise SettingsError(
                f"erasure.{'layers' if self.ranks else 'ranks'} is an empty list",
                fix="give at least one number; leave out erasure.layers to use all layers",
            )
        if self.passages == 1:
            raise SettingsError(
                "erasure.passages is 1, which is too few to search",
                fix="give at least 2, or 0 to search the whole corpus",
            )
        if self.measure is not None:
            parse_measure(self.measure)

    @property
    def variants(self) -> tuple[str, ...]:
        """Return the names of the erasure and its controls at every layer and rank, e.g. "erased" and "random:0"."""
        shuffled = (f"{SHUFFLED}:{draw}" for draw in range(self.shuffles))
        return "erased", *shuffled, *(f"{kind}:{draw}" for kind in CONTROLS for draw in range(self.draws))


SHUFFLED = "shuffled"
RANK, VARIANCE = "random", "variance"  # random subspaces of equal rank, and of equal rank and variance
CONTROLS = (RANK, VARIANCE)
