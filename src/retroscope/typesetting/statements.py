"""The types of a report's statement: a conclusion with its state (e.g. significant), its number and its doubts."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import pandas as pd

from retroscope.files.documents import clean
from retroscope.number_format import interval, percent, percent_interval, score, signed, without_ties
from retroscope.statistics import Difference
from retroscope.typesetting.frames import alpha, margin
from retroscope.typesetting.subject import AFTER, BEFORE, Subject

FEWEST = 25  # queries: with fewer, the paired tests are exact or rough, and an effect must be large to show


class State(StrEnum):
    """State of a statement, e.g. significant. Every statement has exactly one."""

    SIGNIFICANT = "significant"  # the corrected test supports it
    MEASURED = "measured"  # described, without a test
    NOT_SIGNIFICANT = "not significant"  # neither a difference nor equivalence is significant
    EQUIVALENT = "equivalent"  # no larger than the stated margin, by the equivalence test
    NOT_RUN = "not run"
    FAILED = "failed"  # a control, a self-test or a check: the instrument is in doubt
    TOO_FEW = "too few queries"  # the test could not have decided


class Kind(StrEnum):
    """Kind of an estimate (e.g. score or share), which decides how it is printed."""

    DIFFERENCE = "difference"  # after - before, with its sign
    SCORE = "score"
    SHARE = "share"  # of 1, printed in per cent


@dataclass(frozen=True)
class Estimate:
    """One number with its name, interval and test. Unknown values are NaN, and an unknown n is 0.

    Attributes:
        name: name of the number, e.g. "nDCG@10".
        value: the number.
        low, high: ends of its confidence interval.
        p: corrected p-value of its test.
        n: number of queries.
        kind: kind of the number: difference, score or share.
        before, after: the two values of a difference.
        collection: collection on which it was measured, or "" for the first.
    """

    name: str
    value: float
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    n: int = 0
    kind: Kind = Kind.DIFFERENCE
    before: float = math.nan
    after: float = math.nan
    collection: str = ""

    def __str__(self) -> str:
        if self.kind is Kind.SHARE:
            limits = (self.value, self.low, self.high)
            return f"{percent_interval(*limits) if self.has_interval else percent(self.value)} {self.name}"
        difference = self.kind is Kind.DIFFERENCE
        ends = f" {interval(self.low, self.high, effect=difference)}" if self.has_interval else ""
        return f"{self.name} {(signed if difference else score)(self.value)}{ends}"

    @property
    def has_interval(self) -> bool:
        """Return whether both ends of the interval are known."""
        return not (math.isnan(self.low) or math.isnan(self.high))

    def document(self) -> dict[str, Any]:
        """Return the estimate as JSON-like values."""
        ends = [self.low, self.high] if self.has_interval else None
        numbers = {"measure": self.name, "kind": str(self.kind), "effect": self.value, "interval": ends, "p": self.p,
                   "n": self.n or None, "before": self.before, "after": self.after}  # fmt: skip
        return {name: clean(value) for name, value in numbers.items()}


NO_NUMBER: dict[str, Any] = dict.fromkeys(
    ("measure", "kind", "effect", "interval", "p", "n", "before", "after")
)  # of a statement without an estimate


@dataclass(frozen=True)
class Statement:
    """One conclusion of a report, with its state and main number.

    Attributes:
        topic: subject of the statement, e.g. "retrieval".
        state: outcome, e.g. significant or not significant.
        tied: short sentences with numbers. Only a page keeps their non-breaking spaces (`number_format.TIE`).
        rests_on: the models whose numbers it uses: "before" and "after", or "model".
        code: name of the statement within its section, e.g. "headline"; the same in every study.
        estimate: its main number.
        control: name of the control whose outcome it reports, e.g. "shuffled queries", or "" for any other statement.
        caution: whether the statement limits what may be concluded.
        doubts: reasons not to trust it, e.g. a failed self-test of a model whose numbers it uses.
        title: for a failed control, the name by which other statements refer to it; its text begins with this name.
        instruments: the measurements that it relies on, e.g. "probes". If a control of one fails, the statement is
            doubted.
        headline: whether a report opens with it.
        figure: name of the figure that shows its numbers.
        section: name of the analysis that makes the statement. A study fills it in.
    """

    topic: str
    state: State
    tied: str
    rests_on: tuple[str, ...] = (BEFORE, AFTER)
    code: str = ""
    estimate: Estimate | None = None
    control: str = ""
    caution: bool = False
    doubts: tuple[str, ...] = ()
    title: str = ""
    instruments: tuple[str, ...] = ()
    headline: bool = False
    figure: str = ""
    section: str = ""

    @property
    def text(self) -> str:
        """Return the sentences with ordinary spaces in place of the non-breaking ones."""
        return without_ties(self.tied)

    @property
    def name(self) -> str:
        """Return the full code of the statement with its section, such as "retrieval.headline"."""
        return ".".join(part for part in (self.section or self.topic, self.code) if part)

    @property
    def label(self) -> str:
        """Return the label that is printed beside the statement: "caution" for an untested caution, else its state."""
        return "caution" if self.caution and self.state is State.MEASURED else str(self.state)

    @property
    def failed(self) -> bool:
        """Return whether the statement reports a failed control or self-test."""
        return self.state is State.FAILED

    def doubted(self, *reasons: str) -> "Statement":
        """Return the statement with more reasons for doubt."""
        return replace(self, doubts=(*self.doubts, *reasons))

    def document(self) -> dict[str, Any]:
        """Return the statement as JSON-like values."""
        about = {"code": self.name, "topic": self.topic, "section": self.section, "state": str(self.state),
                 "caution": self.caution, "control": self.control, "text": self.text, "doubts": list(self.doubts),
                 "figure": self.figure}  # fmt: skip
        return about | (NO_NUMBER if self.estimate is None else self.estimate.document())


def seen_above(alarms: Iterable[Statement]) -> list[str]:
    """Return a reason for doubt for each failed control, e.g. "CONTROL FAILED (hash labels) (see above)"."""
    return [f"{alarm.title} (see above)" for alarm in alarms]


def with_self_tests(statement: Statement, subject: Subject) -> Statement:
    """Return the statement, marked as doubtful if a model whose numbers it uses failed a self-test."""
    failed = [side for side in statement.rests_on if side in subject.models and subject.side(side).failed_tests]
    return statement.doubted(
        *(f"depends on the model {side} fine-tuning, which failed a self-test (see above)" for side in failed)
    )


def state_of(difference: Difference, row: "pd.Series[Any]") -> State:
    """Return the state of one effect by its tests, e.g. significant or equivalent.

    A significant difference needs a corrected p below alpha, and equivalence a passed equivalence test. Anything else
    is not significant. The state is "too few queries" instead if the queries could not have decided: there are fewer
    than `FEWEST`, or the interval is wider than the margin on both sides, so that not even an effect of 0 would be
    equivalent.
    """
    if row["p_corrected"] < alpha(difference):
        return State.SIGNIFICANT
    if is_equivalent(row):
        return State.EQUIVALENT
    too_wide = (row["ci_high"] - row["ci_low"]) / 2 > margin(difference)  # never, without a margin
    return State.TOO_FEW if too_wide or row["n"] < FEWEST else State.NOT_SIGNIFICANT


def is_equivalent(row: "pd.Series[Any]") -> bool:
    """Return whether the equivalence test was run and is significant."""
    return not pd.isna(row["p_equivalence"]) and bool(row["equivalent"])
