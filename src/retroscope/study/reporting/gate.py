"""Gates: conditions on a change that a CI job checks, such as "nDCG@10 >= -0.01".

A gate holds only if the whole interval of after - before meets the condition: `>=` is about the lower end, `<=` about
the upper end. So "nDCG@10 >= -0.01" holds if the interval excludes a loss of more than .01 (non-inferiority), and noise
alone rarely passes this gate. "mean nDCG@10 >= -0.01" is about the estimate. If the true change equals the limit, such
a gate holds with probability of about one half.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import ge, gt, le, lt
from typing import TYPE_CHECKING

from retroscope.errors import SettingsError, unknown_name
from retroscope.number_format import count, interval, signed

if TYPE_CHECKING:
    from retroscope.typesetting.statements import Estimate

SIGNS: Mapping[str, Callable[[float, float], bool]] = {">=": ge, ">": gt, "<=": le, "<": lt}
EXAMPLE = "write MEASURE >= NUMBER, e.g. 'nDCG@10 >= -0.01' or 'mean RR@10 on scifact > 0'"
FORM = re.compile(
    r"\s*(?P<mean>mean\s+)?(?P<measure>[^\s<>]+?)(?:\s+on\s+(?P<collection>\S.*?))?\s*(?P<sign>>=|<=|>|<)\s*(?P<limit>\S+)\s*"
)


@dataclass(frozen=True)
class Gate:
    """A condition on the change of one measure, such as "nDCG@10 >= -0.01".

    Attributes:
        text: the condition as it was typed.
        measure: the retrieval measure.
        collection: name of the collection, or "" for the first.
        sign: ">=", ">", "<=" or "<".
        limit: limit of the condition.
        of_mean: whether the estimate must meet the condition, instead of the whole interval.
    """

    text: str
    measure: str
    collection: str
    sign: str
    limit: float
    of_mean: bool = False

    def is_met_by(self, value: float) -> bool:
        """Return whether a number meets the condition. NaN never does."""
        return SIGNS[self.sign](value, self.limit)


@dataclass(frozen=True)
class GateOutcome:
    """Whether a condition on a change (gate) holds, and why.

    Attributes:
        gate: the condition.
        holds: whether the condition is met, or False if it is undecided or in doubt.
        text: the outcome as a line of text, with the effect and its interval.
    """

    gate: Gate
    holds: bool
    text: str


def parse_gate(text: str) -> Gate:
    """Parse a condition on a change (gate) from a text like "nDCG@10 >= -0.01".

    Raises:
        SettingsError: for any other text.
    """
    match = FORM.fullmatch(text)
    try:
        limit = float(match["limit"]) if match else math.nan
    except ValueError:
        limit = math.nan
    if match is None or not math.isfinite(limit):
        raise SettingsError(f"invalid condition {text!r}", where="--gate", fix=EXAMPLE)
    return Gate(text.strip(), match["measure"], match["collection"] or "", match["sign"], limit, bool(match["mean"]))


def refuse_unknown(gates: Iterable[Gate], measures: Sequence[str], collections: Sequence[str] | None = None) -> None:
    """Refuse conditions (gates) on measures or collections that a study does not have.

    Args:
        measures: measures of the study.
        collections: names of the collections, or None if they are not known yet.

    Raises:
        SettingsError: with a suggested name.
    """
    for gate in gates:
        if gate.measure not in measures:
            raise unknown_name("measure of --gate", gate.measure, measures)
        if collections is not None and gate.collection and gate.collection not in collections:
            raise unknown_name("collection of --gate", gate.collection, collections)


def outcome_of_gate(gate: Gate, estimates: Iterable["Estimate"], first: str, doubts: Sequence[str] = ()) -> GateOutcome:
    """Return whether a condition on a change (gate) holds for the effect on its measure and collection.

    Args:
        estimates: effects of a study, each on one measure and collection.
        first: name of the first collection.
        doubts: reasons why no effect can be trusted, e.g. a failed self-test. With any, no gate holds.
    """
    where = gate.collection or first
    matching = [effect for effect in estimates if (effect.name, effect.collection) == (gate.measure, where)]
    if not matching:
        return GateOutcome(gate, False, f"gate '{gate.text}' does not hold: {gate.measure} was not measured on {where}")
    effect = matching[0]
    sizes = f"{signed(effect.value)} {interval(effect.low, effect.high, effect=True)}, {count(effect.n, 'query')}"
    if doubts:
        return GateOutcome(gate, False, f"gate '{gate.text}' does not hold: {doubts[0]} ({sizes})")
    outcome, holds = _outcome(gate, effect)
    return GateOutcome(gate, holds, f"gate '{gate.text}' {outcome} ({sizes})")


def _outcome(gate: Gate, one: "Estimate") -> tuple[str, bool]:
    if gate.of_mean:
        holds = gate.is_met_by(one.value)
        return f"{'holds' if holds else 'does not hold'}: the estimate is {signed(one.value)}", holds
    near, far = (one.low, one.high) if gate.sign in (">=", ">") else (one.high, one.low)
    end = "lower" if gate.sign in (">=", ">") else "upper"
    if gate.is_met_by(near):
        return f"holds: the {end} end of the interval is {signed(near)}", True
    if gate.is_met_by(far):
        return f"is undecided, and so does not hold: the interval contains {gate.limit:g}{_needed(gate, one)}", False
    return f"does not hold: the whole interval is beyond {gate.limit:g}", False


def _needed(gate: Gate, one: "Estimate") -> str:
    """Describe how many queries would decide the gate if the estimate stays the same; "" if no number would."""
    room = abs(one.value - gate.limit)
    if not gate.is_met_by(one.value) or not room:
        return ""
    half = (one.high - one.low) / 2
    needed = math.ceil(one.n * (half / room) ** 2)
    return f"; about {needed:,} queries would decide the gate if the estimate stays the same"
