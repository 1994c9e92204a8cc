"""Settings of neuron attribution.

This module does not import torch.
"""

from dataclasses import dataclass
from typing import Annotated

from retroscope.attribution.integrals.quadrature import quadrature
from retroscope.encoders.precision import EXACT, PRECISION_NAMES
from retroscope.errors import SettingsError, unknown_name
from retroscope.ranges import AnyNumber, Distinct, OneOrMore, OpenFraction, Range, Seed, check_ranges

TARGETS = ("norm", "score", "margin")  # see `attribution.objective`
PARTS = ("intermediate", "up", "output")  # see `attribution.sites`
METHOD_NAMES = ("weight_path", "joint_path", "conductance", "activation_x_gradient")
BOTH = "both"
TOWERS = ("query", "passage", BOTH)
BOTH_TOWERS = ("passage", "query")  # in the order of attribution
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
        tower: tower whose neurons are attributed. The vectors of the other tower do not change. "both" attributes one
            tower after the other in a comparison. If None, it is the query tower in a comparison, because queries are
            short and its ablation encodes no passage again (under the published protocol, both towers). For a single
            retriever, it is the passage tower.
        quadrature: `ielab-20`, `trapezoid:n`, `midpoint:n`, `gauss:n` or `auto:TOL[:MOST]`. If None, that of the method
            in `RULES`.
        parts: FFN matrices whose output units are the neurons: "intermediate", "output", and "up" in a gated FFN.
        thresholds: a neuron is active in an example if its magnitude is at least this share of the largest magnitude in
            that example.
        quantiles: quantiles over examples that are reported for each neuron's share (magnitude over the example's
            largest).
        negatives: how many hard negatives of a query are considered. `margin` uses the hardest of them.
        limit: the largest number of examples. If there are more, they are drawn with `seed`. 0 takes all.
        agreement: the attribution stops once the top neurons of two halves of its examples agree this well (mean
            Jaccard index, see `attribution.top_neurons.stability`). None always attributes up to the limit.
        seed: seed of the draw of examples, and of their two random halves, whose top neurons are compared.
        batch_size: number of texts in a batch. Texts are in the order of the examples and padded to the longest, as in
            the published study. If None, texts of similar length form a batch, with at most a tenth of padding tokens.
        memory: bytes of memory that passes at nodes of the integration path may use. If None, a quarter of the free
            memory.
        precision: numerical precision of passes at nodes of the integration path, a name in
            `encoders.precision.PRECISION_NAMES`.
    """

    method: str = "weight_path"
    target: str = "margin"
    tower: str | None = None
    quadrature: str | None = None
    parts: tuple[str, ...] = ("intermediate", "output")
    thresholds: tuple[OpenFraction, ...] = (0.01, 0.1, 0.2, 0.5)
    quantiles: Annotated[tuple[OpenFraction, ...], Distinct()] = (0.5, 0.9, 0.99)
    negatives: Annotated[int, Range(1, 10_000)] = 4
    limit: AnyNumber = 32
    agreement: Annotated[float, Range(0, 1, open=True, why="a Jaccard index")] | None = STABLE
    seed: Seed = 0
    batch_size: OneOrMore | None = None
    memory: Annotated[int, Range(1, 2**50)] | None = None
    precision: str = EXACT

    def __post_init__(self) -> None:
        check_ranges(self)
        allowed = {"method": METHOD_NAMES, "target": TARGETS, "precision": PRECISION_NAMES}
        named = [(field, getattr(self, field), names) for field, names in allowed.items()]
        named += [("tower", self.tower, TOWERS)] if self.tower is not None else []
        for field, value, names in [*named, *(("part", part, PARTS) for part in self.parts)]:
            if value not in names:
                raise unknown_name(field, value, names)
        quadrature(self.rule)
        self._check_lists()

    @property
    def towers(self) -> tuple[str, ...]:
        """Return the encoders ("query", "passage") whose neurons a comparison attributes, the main one first."""
        return BOTH_TOWERS if self.tower == BOTH else (self.tower or "query",)

    @property
    def scaled(self) -> str:
        """Return the encoder whose neurons one attribution covers: "query" or "passage".

        Raises:
            SettingsError: if the settings name both towers.
        """
        if self.tower == BOTH:
            raise SettingsError(
                "tower is 'both', but one attribution covers one tower", fix="give query or passage as the tower"
            )
        return self.tower or "passage"

    @property
    def rule(self) -> str:
        """Return the name of the quadrature: `quadrature` if it is set, else the default of the method."""
        return self.quadrature or RULES[self.method]

    def _check_lists(self) -> None:
        for field in ("parts", "thresholds"):
            values = getattr(self, field)
            if not values or len({*values}) < len(values):
                raise SettingsError(
                    f"{field} is {values}, which is empty or repeats a value",
                    fix="give at least one value, and each value once",
                )
        if len({f"{t:g}" for t in self.thresholds}) < len(self.thresholds):
            raise SettingsError(
                f"thresholds {self.thresholds} are not distinct in their first six digits",
                fix="give thresholds that differ in their first six digits",
            )
