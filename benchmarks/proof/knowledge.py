"""Words that vectors decode to, and facts that a model knows and finds: associations, and what both models share.

Overlaps of words and facts that are known and found are made up. What else could explain them is made up, too: words
that every text decodes to, or subjects that are frequent. What is tried is the report's own inference (`infer`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from proof.made import reading, scores
from proof.proof import Proof, rate, short
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.retention.infer import infer as infer_retention
from retroscope.analyses.retention.result import (
    CONSISTENCY,
    FACTS,
    FOUND,
    HEAD,
    LOSSES,
    P1,
    RetentionResult,
)
from retroscope.analyses.retention.result import SHUFFLED as OTHER_SUBJECT
from retroscope.analyses.retrieval.result import RetrievalEffect, RetrievalResult
from retroscope.analyses.vocabulary.infer import infer as infer_vocabulary
from retroscope.analyses.vocabulary.result import DIFFERENCE, OVERLAP, SHUFFLED, VocabularyResult
from retroscope.statistics import ComparisonSettings, compare_scores
from retroscope.typesetting.frames import rows
from retroscope.typesetting.subject import AFTER, BEFORE

QUERIES, LAYERS, WORDS, ALPHA, MEASURE = 80, 2, 20, 0.05, "RR@10"
COMMON, MORE = 0.2, 0.1  # share of words that any two texts have in common; and more of it
GOES_ALONG = 1.0  # effect on the change of retrieval, in the standard deviation of its other changes
FACTS_KNOWN, RELATIONS, OBJECTS = 360, 18, 5
FREQUENT = 1.5  # log odds of either outcome, of the most frequent subject
KNOWS = 1.2  # of a known fact on the log odds of being found
RARE = 1 / OBJECTS  # P@1 of the most frequent object
FEW = ComparisonSettings(resamples=400)


def proofs(studies: int) -> list[Proof]:
    """Return the rows of overlap beyond chance, of its change, of its association, and of facts known and found."""
    some = max(1, studies // 4)
    null = [vocabulary(seed, Words()) for seed in range(studies)]
    planted = [vocabulary(seed, Words(own=MORE, gained=MORE, along=GOES_ALONG)) for seed in range(some)]
    return [overlap(null, planted), gain(null, planted), association(null, planted), *facts(studies)]


@dataclass(frozen=True, kw_only=True)
class Words:
    """How much more than other pairs relevant ones have in common: before, what fine-tuning adds, and what follows.

    Attributes:
        own: share of the words that relevant pairs have in common beyond other pairs, in both models.
        gained: more of it after fine-tuning.
        along: effect of a query's change of overlap on its change of retrieval.
    """

    own: float = 0.0
    gained: float = 0.0
    along: float = 0.0


def overlap(null: Sequence[VocabularyResult], planted: Sequence[VocabularyResult]) -> Proof:
    """Return the row of words that relevant pairs share; words that all pairs share are the control."""
    tables, found = ([rows(one.beyond[BEFORE]) for one in some] for some in (null, planted))
    plain = float(np.mean([(table["after_low"] > 0).any() for table in tables]))
    return beyond_shuffled(
        tables,
        found,
        plain,
        instrument="Vocabulary: the vectors of relevant pairs decode to common words more often than those of "
        "shuffled pairs",
        control="The overlap alone, if all vectors decode to the same frequent words",
        finding="The overlap is significantly above 0",
    )


def covers(table: pd.DataFrame, truth: float) -> list[bool]:
    """Return, for each row, whether its interval holds the truth."""
    return ((table["ci_low"] <= truth) & (truth <= table["ci_high"])).tolist()


def gain(null: Sequence[VocabularyResult], planted: Sequence[VocabularyResult]) -> Proof:
    """Return the row of the change of overlap; a change that all pairs share is the control."""
    tables, found = ([rows(one.gain) for one in some] for some in (null, planted))
    effects = [rows(one.effect, quantity=OVERLAP) for one in null]
    plain = float(np.mean([(table["p_corrected"] < ALPHA).any() for table in effects]))
    return beyond_shuffled(
        tables,
        found,
        plain,
        instrument="Vocabulary: fine-tuning raised the overlap of relevant pairs more than that of shuffled pairs",
        control="The change of the overlap alone, if the overlap of all pairs rose",
        finding="A change is reported",
    )


def beyond_shuffled(
    null: Sequence[pd.DataFrame],
    planted: Sequence[pd.DataFrame],
    plain: float,
    *,
    instrument: str,
    control: str,
    finding: str,
) -> Proof:
    """Return the row of a claim beyond shuffled pairs, from the tables of its tests.

    Args:
        plain: share of the null studies in which the control makes the claim.
        finding: the claim of the control, as the beginning of a sentence.
    """
    own = rate(bool((table["p_corrected"] < ALPHA).any()) for table in null)
    return Proof(
        instrument=instrument,
        control=control,
        reads=f"{finding} in {short(plain)} of the studies; compared with shuffled pairs, in {short(own.value)}",
        failed=plain > 0.5 > own.value,
        false=own,
        power=rate(bool((table["p_corrected"] < ALPHA).all()) for table in planted),
        planted=f"an overlap of {short(MORE)} among {WORDS} words, {QUERIES} queries",
        coverage=rate(inside for table in planted for inside in covers(table, MORE)),
        held_against="vectors that were built to decode to a word (tests/analyses/test_vocabulary.py)",
    )


def association(null: Sequence[VocabularyResult], planted: Sequence[VocabularyResult]) -> Proof:
    """Return the row of an association with retrieval; one that shuffled pairs have as well is the control."""
    own = rate(associated(one) for one in null)
    plain = float(np.mean([one.associated[0].p < ALPHA for one in null]))
    return Proof(
        instrument="Vocabulary: the change of overlap correlates with the change of retrieval, beyond shuffled pairs",
        control="The rank correlation alone, if the overlap of all pairs correlates with retrieval",
        reads=f"The correlation is significant in {short(plain)} of the studies; compared with shuffled pairs, in "
        f"{short(own.value)}",
        failed=plain > 0.5 > own.value,
        false=own,
        power=rate(associated(one) for one in planted),
        planted=f"retrieval changes by {GOES_ALONG:g} SD for each SD of overlap, {QUERIES} queries",
        coverage=None,
        held_against="planted rank orders, and none (tests/analyses/test_vocabulary.py)",
    )


def associated(one: VocabularyResult) -> bool:
    """Return whether the report calls the change of overlap associated with that of retrieval."""
    found = {part.pairs: part for part in one.associated}
    apart = found[DIFFERENCE].low > 0 or found[DIFFERENCE].high < 0
    return bool(found[OVERLAP].p < ALPHA and apart)


def vocabulary(seed: int, words: Words) -> VocabularyResult:
    """Return what the report has of the words of two models, of which the second shares more words in all pairs.

    What retrieval gains goes along with the change of a query's overlap with any passage, and with its own.
    """
    random = np.random.default_rng(seed)
    level = 0.1 * random.standard_normal((2, QUERIES, 1, 1))  # of a query with all passages
    values = {}
    for side, more in ((BEFORE, 0.0), (AFTER, MORE)):
        means = COMMON + more + level[int(side == AFTER)] + np.zeros((QUERIES, LAYERS, 2))
        means[..., 0] += words.own + words.gained * (side == AFTER)
        values[side] = random.binomial(WORDS, np.clip(means, 0, 1)) / WORDS
    change = values[AFTER][:, -1] - values[BEFORE][:, -1]
    moved = standard((level[1] - level[0])[:, 0, 0]) + words.along * standard(change[:, 0] - change[:, 1])
    before = 0.5 + 0.2 * random.standard_normal(QUERIES)
    after = before + 0.1 * (moved + random.standard_normal(QUERIES))
    measured = {side: scores(one, layer=range(LAYERS), quantity=[OVERLAP, SHUFFLED]) for side, one in values.items()}
    effect = compare_scores(*(scores(one[:, None], measure=[MEASURE]) for one in (before, after)), FEW)
    retrieval = RetrievalResult((RetrievalEffect("made up", effect),), MEASURE, MEASURE)
    one = Measurement(measured, {"says": pd.DataFrame()}, facts={"k": WORDS, "centred": True}, collection="made up")
    found = infer_vocabulary([one], reading(FEW, {"retrieval": retrieval}))
    if found is None:
        raise RuntimeError("nothing was inferred")
    return found


def standard(values: np.ndarray) -> np.ndarray:
    """Return values with a mean of 0 and a standard deviation of 1."""
    return np.asarray((values - values.mean()) / values.std())


def facts(studies: int) -> list[Proof]:
    """Return the rows of facts known and found, and of the control of other subjects."""
    null = [retention(seed, 0.0, RARE) for seed in range(studies)]
    planted = [retention(seed, KNOWS, 2 * RARE) for seed in range(studies, 2 * studies)]
    return [known_and_found(null, planted), other_subject(null, planted)]


def known_and_found(null: Sequence[RetentionResult], planted: Sequence[RetentionResult]) -> Proof:
    """Return the row of the odds ratio within thirds of popularity; the one of all facts is the control."""
    own = rate(not one.associations[1].within.low <= 1 <= one.associations[1].within.high for one in null)
    crude = float(np.mean([one.associations[1].crude.low > 1 for one in null]))
    ratios = [one.associations[1].within for one in planted]
    truth = float(np.exp(KNOWS))
    return Proof(
        instrument="Retention: passages of facts that the backbone knows are found more often",
        control="The odds ratio over all facts, if facts of frequent subjects are both known and found more often",
        reads=f"The odds ratio is significantly above 1 in {short(crude)} of the studies; among equally frequent "
        f"subjects, in {short(own.value)}",
        failed=crude > 0.5 > own.value,
        false=own,
        power=rate(one.low > 1 for one in ratios),
        planted=f"an odds ratio of {truth:.2f}, {FACTS_KNOWN} facts of {RELATIONS} relations",
        coverage=rate(one.low <= truth <= one.high for one in ratios),
        held_against="statsmodels' StratifiedTable (tests/statistics/test_association.py)",
    )


def other_subject(null: Sequence[RetentionResult], planted: Sequence[RetentionResult]) -> Proof:
    """Return the row of the alarm that answers do not depend on the subject; chance without the baseline fails."""
    controls = [one.controls[0] for one in null]
    plain = float(np.mean([one.low > 0 for one in controls]))
    own = rate(one.failed for one in controls)
    return Proof(
        instrument="Retention: alarm, the answers are correct although the cloze names another subject",
        control="Answers that are correct by chance, not compared with the share of the relation's most frequent "
        "object",
        reads=f"P@1 is significantly above 0 in {short(plain)} of the studies; compared with that share, in "
        f"{short(own.value)}",
        failed=plain > 0.5 > own.value,
        false=own,
        power=rate(one.controls[0].failed for one in planted),
        planted=f"P@1 {short(2 * RARE)} instead of {short(RARE)}, {FACTS_KNOWN} facts of {RELATIONS} relations",
        coverage=rate(one.low <= RARE <= one.high for one in controls),
        held_against="facts of the controlled world (tests/analyses/test_retention.py)",
    )


def retention(seed: int, knows: float, accidental: float) -> RetentionResult:
    """Return what the report has of facts; a frequent subject, and knowing the fact, may help to find it.

    Facts of one relation go together: relations differ in how easily their facts are known, and found.
    """
    random = np.random.default_rng(seed)
    relation = np.repeat(np.arange(RELATIONS), FACTS_KNOWN // RELATIONS)
    popularity = random.permutation(FACTS_KNOWN)
    common = FREQUENT * np.linspace(-1, 1, FACTS_KNOWN)[popularity]
    easy = 0.4 * random.standard_normal((2, RELATIONS))[:, relation]
    known = random.random(FACTS_KNOWN) < odds(common + easy[0])
    hit = random.random(FACTS_KNOWN) < odds(common + knows * known + easy[1] - knows / 2)
    ids = [f"q{k}" for k in range(FACTS_KNOWN)]
    texts = dict(zip(ids, relation.tolist(), strict=True))
    other = random.random(FACTS_KNOWN) < accidental
    values = np.stack([known, other], axis=1).astype(float)[:, None, None]
    one = scores(values, layer=[1], readout=[HEAD], measure=[P1, OTHER_SUBJECT]).with_texts(texts)
    found = {"fact": ids, "popularity": popularity, "shared": 0.5, f"found/{BEFORE}": 0.0, f"found/{AFTER}": hit * 1.0}
    frames = {
        FACTS: pd.DataFrame({"fact": ids, "stratum": "", "most_frequent": RARE}),
        FOUND: pd.DataFrame(found),
        LOSSES: pd.DataFrame(),
        CONSISTENCY: pd.DataFrame({"side": [BEFORE], "readout": [HEAD], "consistency": [1.0]}),
    }
    measurement = Measurement({BEFORE: one, AFTER: one}, frames, facts={"unknowable": []}, collection="made up")
    result = infer_retention([measurement], reading(FEW))
    if result is None:
        raise RuntimeError("nothing was inferred")
    return result


def odds(logit: np.ndarray) -> np.ndarray:
    """Return the probability of log odds."""
    return np.asarray(1 / (1 + np.exp(-logit)))
