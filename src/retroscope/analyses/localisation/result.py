"""Result of localisation: instruments' values and transplants' effects for the same blocks. Computes nothing."""

from dataclasses import dataclass

import pandas as pd

from retroscope.errors import demand_columns

EVIDENCE_COLUMNS = ("kind", "instrument", "place", "first", "last", "value")
CLAIM_COLUMNS = ("direction", "kind", "instrument", "place", "score", "effect", "ci_low", "ci_high", "p_corrected",
                 "rival", "rival_score", "extra", "extra_low", "extra_high", "extra_p", "agreement",
                 "rank", "rank_p")  # fmt: skip
MOST_COLUMNS = ("direction", "kind", "place", "score", "effect", "ci_low", "ci_high", "p_corrected", "share",
                "share_low", "share_high", "significant", "explained", "sign", "controlled", "random", "agreeing",
                "instruments", "luck", "luck_together")  # fmt: skip
BLOCKS, PARTS = "blocks", "parts"  # kinds of places
AGREES, MATTERS, CONTRADICTED, UNDECIDED = "agrees", "matters too", "contradicted", "undecided"


@dataclass(frozen=True, eq=False)
class LocalisationResult:
    """The values of several instruments for the same blocks, and whether transplants agree with them.

    Attributes:
        evidence: a row an instrument and place (a block, a group of neighbours, or a part of every block): value, in
            the instrument's own unit, the larger the more happened there. Of "restored" and "grafted": the share of
            the total effect that the place makes alone.
        most: a row a direction and kind: the place that does most alone by its mean, restored (is it needed?) or
            grafted (does it suffice?), of those whose effect is significant in the direction of the total effect, and
            more than that of random changes of equal size where these were tried (`controlled`; `random` is their mean
            effect there); `significant` whether any is; `explained` whether the total effect is significant, and its
            `sign`. `share` of the total effect, with Fieller's interval. Of the `instruments` that name a place,
            `agreeing` agree; `luck`: the probability that as many (one at the least) do by luck, if each named any
            place with equal probability; `luck_together`: the same if the answer were any place, however they depend
            on one another.
        claims: a row a direction and instrument: the place where its value is largest; what that place alone does to
            retrieval (score, effect, interval, corrected p, all of the transplants); the place that does significantly
            more, by the most (`rival`, and `extra`, the paired difference with its interval and its p, corrected over
            all other places), or "" where none does; and their `agreement`: "agrees" (it names the place that does
            most), "matters too" (it names another with a significant effect, and none does significantly more),
            "contradicted" (one does), "undecided". `rank`: Spearman's correlation of its values with what the places
            do alone, `rank_p` its one-sided permutation p, uncorrected. An instrument without a value above 0, or that
            did not measure every place, names none and has no row.
        measure: the retrieval measure.
        correction: how p is corrected.
        queries: number of queries that the transplants were measured with.
        passages: number of passages that were searched.
        confirmed: whether an ablation confirms the neurons; None where there are none or nothing was ablated.
    """

    evidence: pd.DataFrame
    most: pd.DataFrame
    claims: pd.DataFrame
    measure: str
    correction: str
    queries: int = 0
    passages: int = 0
    confirmed: bool | None = None

    def __post_init__(self) -> None:
        demand_columns("evidence", self.evidence, EVIDENCE_COLUMNS)
        demand_columns("most", self.most, MOST_COLUMNS)
        demand_columns("claims", self.claims, CLAIM_COLUMNS)
