"""One row of the proof table, and the rates in it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from scipy import stats

NOMINAL = 0.05
COVERAGE = 0.95
LEAST_COVERAGE = 0.93


@dataclass(frozen=True)
class Rate:
    """How often something happened in simulated studies.

    Attributes:
        hits: studies in which it happened.
        of: studies.
    """

    hits: int
    of: int

    @property
    def value(self) -> float:
        """Return the share of studies."""
        return self.hits / self.of

    @property
    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval of the rate (Clopper and Pearson 1934)."""
        low = stats.beta.ppf(0.025, self.hits, self.of - self.hits + 1) if self.hits else 0.0
        high = stats.beta.ppf(0.975, self.hits + 1, self.of - self.hits) if self.hits < self.of else 1.0
        return float(low), float(high)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{short(self.value)} [{short(low)}, {short(high)}], {self.of}"


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What one statement of Retroscope does where the truth is known.

    Attributes:
        instrument: the statement that is tried.
        control: what must fail, and how it was made to.
        reads: what the control reads, beside what the instrument reads.
        failed: whether the control failed, as it must.
        false: how often the statement is made where it is false (nominal .05); None where nothing is tested.
        power: how often it is made where it is true by the planted size.
        planted: the size that was planted.
        coverage: how often its interval holds the truth (nominal .95); None where it has no interval.
        held_against: the peer or closed form, and the largest difference.
    """

    instrument: str
    control: str
    reads: str
    failed: bool
    false: Rate | None
    power: Rate | None
    planted: str
    coverage: Rate | None
    held_against: str

    def faults(self) -> list[str]:
        """Return what speaks against it: an idle control, too many false statements, too little coverage."""
        found = [] if self.failed else ["the control did not fail"]
        if self.false and self.false.interval[0] > NOMINAL:
            found.append(f"the share of false statements is {self.false} studies")
        if self.coverage and self.coverage.value < LEAST_COVERAGE:
            found.append(f"the coverage of the 95 % intervals is {self.coverage} studies")
        return found


def rate(found: Iterable[bool]) -> Rate:
    """Return how often it was true."""
    values = [bool(value) for value in found]
    return Rate(sum(values), len(values))


def rates(study: Callable[[int], tuple[bool, ...]], n: int, first_seed: int = 0) -> tuple[Rate, ...]:
    """Return how often each of a study's outcomes was true over `n` seeds."""
    outcomes = [study(first_seed + seed) for seed in range(n)]
    return tuple(rate(column) for column in zip(*outcomes, strict=True))


def short(value: float) -> str:
    """Return a number as the pages print it: .043, -.043, 1.000."""
    text = f"{value:.3f}"
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text
