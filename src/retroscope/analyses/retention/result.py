"""Result of the analysis of retention: which facts can be read from the model before fine-tuning, and which after."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

import pandas as pd

from retroscope.statistics import Difference
from retroscope.statistics.association import OddsRatio

RANDOM = "random"  # side of the copy with random weights
FACTS, LOSSES, CONSISTENCY, FOUND = "facts", "losses", "consistency", "found"  # frames of the measurement
HEAD, REFITTED = "head", "refitted"  # as in `knowledge.readouts`, which takes torch to import
P1, SHUFFLED = "P@1", "P@1, other subject"  # as in `knowledge.recall`
VOCABULARY = "vocabulary"  # scores of ranks among all tokens, SIDE/vocabulary


@dataclass(frozen=True)
class FactShare:
    """Share of a set of facts that can be read from a model, with its interval.

    If the set is empty, `n` is 0 and all other fields are NaN.
    """

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Retained:
    """Shares of facts that fine-tuning kept, and of facts that it gained, at the last layer.

    Attributes:
        kept: of the facts that can be read before fine-tuning, the share that can also be read after it.
        gained: of the facts that cannot be read before fine-tuning, the share that can be read after it.
    """

    kept: FactShare
    gained: FactShare


@dataclass(frozen=True)
class FactControl:
    """P@1 of a control that cannot know the facts, and P@1 of always answering the most frequent object.

    Attributes:
        name: name of the control, e.g. "other subject".
        side: role of the model: "before", "after" or "random" (weights).
        readout: "head" or "refitted".
        value, low, high: P@1 of the control with its interval, at the last layer.
        most_frequent: P@1 of always answering a relation's most frequent object, for the same facts.
        n: number of facts.
    """

    name: str
    side: str
    readout: str
    value: float
    low: float
    high: float
    most_frequent: float
    n: int

    @property
    def failed(self) -> bool:
        """Return whether the control is significantly more accurate than always answering the most frequent object."""
        return self.low > self.most_frequent


@dataclass(frozen=True)
class Association:
    """Odds ratios between knowing a fact before fine-tuning and finding its passage, overall and within strata.

    Attributes:
        side: role of the model whose search found the passage.
        stratum: stratum of the facts, or "" for all of them.
        known, unknown: share of the known facts whose passage is found, and the same share for the unknown facts.
        n_known: number of known facts.
        crude: odds ratio of all facts together. It is confounded by any property that makes facts both known and found.
        within: odds ratio among facts of the same stratum, the same third by popularity and the same third by words
            that question and passage share.
    """

    side: str
    stratum: str
    known: float
    unknown: float
    n_known: int
    crude: OddsRatio
    within: OddsRatio


class LanguageHeadFacts(TypedDict):
    """The backbone's own language-model head: its kind, and whether it shares the weights of the embeddings."""

    kind: str
    tied: bool


class LeftOutCounts(TypedDict):
    """Numbers of facts that were left out, because of an unknown object or because no other object competes."""

    unknown_object: int
    no_competitor: int


class RetentionFacts(TypedDict):
    """Settings of a retention measurement and numbers of its facts, as JSON-like values.

    "no_head" is the reason why "head" is None. Three values are counts: "same_tokens" of the facts whose object has the
    tokens of another object, "words" of the tokens that a read-out can predict, and "positions" of the tokens on which
    it is fitted.
    """

    head: LanguageHeadFacts | None
    no_head: str
    relations: int
    left_out: LeftOutCounts
    same_tokens: int
    layout: str
    clusters: str
    words: int
    positions: int
    found_at: int
    unknowable: list[str]


@dataclass(frozen=True, eq=False)
class RetentionResult:
    """Tested result of the retention analysis: how many facts can be read from each model, by layer and read-out.

    Attributes:
        effect: difference after - before over (layer, readout, measure). The layers of one measure and read-out are one
            family of tests.
        vocabulary: difference in the reciprocal rank of one-token answers among all tokens, by layer, with the
            language-model head, or None without a head.
        last: index of the last layer.
        retained: (readout, stratum) -> shares of the facts that fine-tuning kept and gained. The stratum "" has all
            facts.
        controls: P@1 of every control.
        losses: a row for each side (role of the model) and layer: the loss of the refitted read-out on held-out text.
        consistency: a row for each side and read-out: the mean consistency over wordings, and the number of facts.
        associations: association of known facts with found facts, for the search of each model and each stratum.
        strata: a row for each stratum, side and read-out: P@1 with its interval.
        about: language-model head, clusters, neutral text and other circumstances of the measurement.
    """

    effect: Difference
    vocabulary: Difference | None
    last: int
    retained: Mapping[tuple[str, str], Retained]
    controls: tuple[FactControl, ...]
    losses: pd.DataFrame
    consistency: pd.DataFrame
    associations: tuple[Association, ...]
    strata: pd.DataFrame
    about: RetentionFacts

    @property
    def readouts(self) -> list[str]:
        """Return the names of the read-outs that were measured, the language-model head first."""
        present = [str(name) for name in self.effect.before.values["readout"].values]
        return [name for name in (HEAD, REFITTED) if name in present]
