"""Settings of neuron attribution. No torch."""

from dataclasses import dataclass
from typing import Annotated

from retroscope.attribution.integrals.quadrature import quadrature
from retroscope.encoders.precision import EXACT, PRECISION_NAMES
from retroscope.errors import SettingsError, unknown_name
from retroscope.ranges import AnyNumber, Distinct, OneOrMore, OpenFraction, Range, Seed, check_ranges

TARGETS = ("norm", "score", "margin")  # see `attribution.objective`
PARTS = ("intermediate", "up", "output")  # see `attribution.sites`
METHOD_NAMES = ("weight_path", "joint_path", "conductance", "activation_x_gradient")
TOWERS = ("query", "passage", "both")
STABLE = 0.5  # two in three of the top neurons of one half are among those of the other
# Method -> its quadrature, unless another is asked for. The tolerance was chosen after looking at 16 and 12 queries of
# nq-open-gold, with stories260K's retriever and all-MiniLM-L6-v2: the largest that keeps both top 1 % (docs).
RULES = {
    "weight_path": "auto:0.01:64",
    "joint_path": "auto:0.01:64",
    "conductance": "gauss:4",
    "activation_x_gradient": "gauss:4",
}


@dataclass(frozen=True, kw_only=True)
class AttributionSettings:
    """Settings of neuron attribution: method, attributed scalar, examples and precision.

    Attributes:
        method: a name in `METHOD_NAMES`.
        target: the scalar that is attributed: "norm", "score" or "margin".
        tower: whose network is scaled; the other tower's vectors stay as they are. "both": one after the other, in a
            comparison; None: both there, the passage tower of a retriever alone.
        quadrature: `ielab-20`, `trapezoid:n`, `midpoint:n`, `gauss:n` or `auto:TOL[:MOST]`; None: see `RULES`.
        parts: FFN matrices whose output units are neurons: "intermediate", "output", and "up" where there is a gate.
        thresholds: a neuron is active in an example where its magnitude is at least this share of the largest there.
        quantiles: quantiles of the neurons' shares over examples.
        negatives: hard negatives among which `margin` finds the hardest.
        limit: at most so many examples, drawn with `seed`; 0 takes all.
        agreement: agreement of the top neurons of two halves of the examples (mean Jaccard index, see
            `attribution.stability`) at which no more are attributed; None attributes up to the limit, whatever it is.
        seed: seed of that draw and of the halves that overlap is measured against.
        batch_size: texts of a batch, in the order given and padded to the longest, as published; None makes batches
            of like length, at most a tenth of them padding.
        memory: bytes that the passes of the scaled network may take; None: a quarter of what is free.
        precision: precision of those passes, a name in `encoders.precision.PRECISION_NAMES`.
    """

    method: str = "weight_path"
    target: str = "margin"
    tower: str | None = None
    quadrature: str | None = None
    parts: tuple[str, ...] = ("intermediate", "output")
    thresholds: tuple[OpenFraction, ...] = (0.01, 0.1, 0.2, 0.5)
    quantiles: Annotated[tuple[OpenFraction, ...], Distinct()] = (0.5, 0.9, 0.99)
    negatives: Annotated[int, Range(1, 10_000)] = 4
    limit: AnyNumber = 64
    agreement: Annotated[float, Range(0, 1, open=True, why="a Jaccard index")] | None = STABLE
    seed: Seed = 0
    batch_size: OneOrMore | None = None
    memory: Annotated[int, Range(1, 2**50)] | None = None
    precision: str = EXACT

    def __post_init__(self) -> None:
        check_ranges(self)
        known = {"method": METHOD_NAMES, "target": TARGETS, "precision": PRECISION_NAMES}
        named = [(field, getattr(self, field), names) for field, names in known.items()]
        named += [("tower", self.tower, TOWERS)] if self.tower is not None else []
        for field, value, names in [*named, *(("part", part, PARTS) for part in self.parts)]:
            if value not in names:
                raise unknown_name(field, value, names)
        quadrature(self.rule)
        self._check_lists()

    @property
    def towers(self) -> tuple[str, ...]:
        """Return the towers that a comparison attributes; the first is the main tower."""
        return ("passage", "query") if self.tower in (None, "both") else (str(self.tower),)

    @property
    def scaled(self) -> str:
        """Return the tower that a single attribution covers.

        Raises:
            SettingsError: if both are asked for.
        """
        if self.tower == "both":
            raise SettingsError("tower is 'both', but one attribution covers one tower", fix="give query or passage")
        return self.tower or "passage"

    @property
    def rule(self) -> str:
        """Return the name of the quadrature."""
        return self.quadrature or RULES[self.method]

    def _check_lists(self) -> None:
        for field in ("parts", "thresholds"):
            values = getattr(self, field)
            if not values or len({*values}) < len(values):
                raise SettingsError(f"{field}={values}", fix="name at least one, each once")
        if len({f"{t:g}" for t in self.thresholds}) < len(self.thresholds):
            raise SettingsError(
                f"thresholds={self.thresholds}", fix="write each threshold once, with at most six digits"
            )
