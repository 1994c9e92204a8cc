"""Result of localisation: values by several measurements (instruments) and effects of transplants, for each block."""

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
    """The values of several instruments, such as CKA, for the same blocks, and whether transplants agree with them.

    Attributes:
        evidence: a row for each instrument and place (a block, a group of neighbouring blocks, or a part of all
            blocks). Each instrument has its own scale; a larger value means a larger change. The value of "restored"
            and of "grafted" is the share of the total effect that a transplant of this place has alone.
        most: a row for each direction ("restored": is it needed? "grafted": does it suffice?) and kind ("blocks" or
            "parts"): the place whose transplant alone has the largest mean effect. The effect must be significant in
            the direction of the total effect, and larger than that of random changes of equal size if these were
            measured (`controlled`; `random` is their mean effect). If no place has such an effect, `significant` is
            False, and the row has the largest of all effects. `explained` says whether the total effect is significant,
            and `sign` is its sign. `share` is the share of the total effect, with Fieller's interval. `instruments` is
            how many instruments name a place, and `agreeing` how many of them agree with the transplants (see
            `claims`). `luck` is the probability that at least as many (and at least one) agree by chance if each
            instrument names any place with equal probability. `luck_together` is this probability if the instruments
            keep the places that they name, and any place may have the largest effect with equal probability.
        claims: a row for each direction and instrument: the place where its value is largest, with the effect of
            transplanting that place alone (score, effect, interval and corrected p, all from the transplants). `rival`
            is the place with the largest significantly larger effect, "" if there is none. `extra` is the paired
            difference of the two effects, with its interval and its p, corrected over all other places. `agreement` is
            "agrees" (the instrument names the place with the largest effect), "matters too" (it names another place
            with a significant effect, and no place has a significantly larger one), "contradicted" (a place has) or
            "undecided". `rank` is Spearman's correlation of the instrument's values with the effects of single places,
            and `rank_p` its one-sided permutation p, uncorrected. An instrument that has no value above 0, or did not
            measure every place, names no place and has no row.
        measure: the retrieval measure.
        correction: name of the correction of p-values, e.g. "holm".
        queries: how many queries the transplants were measured with.
        passages: how many passages were searched.
        confirmed: whether an ablation confirms the neurons, or None if no neurons were attributed or ablated.
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
        demand_columns("evidence", self.evidence, EVIDENCE_COLUMNS, where="LocalisationResult")
        demand_columns("most", self.most, MOST_COLUMNS, where="LocalisationResult")
        demand_columns("claims", self.claims, CLAIM_COLUMNS, where="LocalisationResult")
