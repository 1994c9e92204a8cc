"""Result of the analysis of retention of facts."""

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
    """A share of some facts with its interval. All numbers are NaN if there are no facts."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Retained:
    """Shares of facts that fine-tuning kept, and of facts that it gained, at the last layer.

    Attributes:
        kept: share of the facts read before fine-tuning that are also read after it.
        gained: share of the other facts that are read after fine-tuning.
    """

    kept: FactShare
    gained: FactShare


@dataclass(frozen=True)
class FactControl:
    """P@1 of a control without knowledge, and P@1 of always answering the most frequent object.

    Attributes:
        name: name of the control.
        side: "before", "after" or "random".
        readout: "head" or "refitted".
        value, low, high: P@1 with its interval, at the last layer.
        most_frequent: P@1 of the most frequent object, of the same facts.
        n: facts.
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
    """Association of facts known before fine-tuning with facts found in search: odds ratios, overall and in strata.

    Attributes:
        side: the model whose search found the passage.
        stratum: stratum of the facts, or "" for all of them.
        known, unknown: share of the known facts that are found, and of the unknown facts.
        n_known: number of known facts.
        crude: odds ratio of all facts together. Any property that makes facts both known and found confounds it.
        within: odds ratio within strata of the facts, thirds of popularity and thirds of shared words.
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
    """Number of facts that were left out, by reason."""

    unknown_object: int
    no_competitor: int


class RetentionFacts(TypedDict):
    """Facts of a measurement of retention other than its numbers, as JSON-like values.

    "no_head" is the reason why "head" is None. "same_tokens" is the number of objects with the tokens of another
    object, "words" that of the tokens that a read-out can predict, and "positions" that of the tokens it is fitted on.
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
    """Result of retention: the facts that each model recalls, by layer and read-out.

    Attributes:
        effect: effect over (layer, readout, measure). The cells of a measure and read-out are a family.
        vocabulary: reciprocal rank of answers of one token among all tokens, by layer, as the head reads them, or None
            without a head.
        last: number of the last layer.
        retained: (readout, stratum) -> share read after fine-tuning of the facts that were read before, and of the
            others. The stratum "" has all facts.
        controls: every control.
        losses: side, layer, loss of the refitted read-outs on held-out text.
        consistency: side, readout, consistency over wordings, and the number of facts.
        associations: known x found, of each side.
        strata: stratum, side, readout, P@1 with its interval.
        about: notes of the measurement on head, clusters and neutral text.
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
        """Return the read-outs in the order of the report, the language-model head first."""
        present = [str(name) for name in self.effect.before.values["readout"].values]
        return [name for name in (HEAD, REFITTED) if name in present]
