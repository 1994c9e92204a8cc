"""Effects of an edit: reliability, generality, locality, and the loss on neutral text (with none of the facts).

The terms are those of Meng et al. (2022, section 3.3). They are measured by P@1: whether the correct object ranks first
among the objects of its relation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from retroscope.collection.facts.records import Fact
from retroscope.encoders.checkpoints.language_heads import LanguageHead
from retroscope.encoders.encoder import Encoder
from retroscope.knowledge.clozes import relation_clozes
from retroscope.knowledge.readouts import HEAD, HeadReadout
from retroscope.knowledge.recall import LOG_P_TOKEN, MEASURES, P1, TIED, recall
from retroscope.knowledge.states import ReadInput, states_at
from retroscope.statistics.resampling.clusters import Clusters, numbered
from retroscope.statistics.resampling.crossed import crossed_mean

RELIABILITY, GENERALITY, LOG_P, LOCALITY, SAME, LOSS = EFFECTS = (
    "reliability", "generality", "log p a token", "locality", "same answer", "loss"
)  # fmt: skip
BOUNDS = {RELIABILITY: 1.0, GENERALITY: 1.0, LOCALITY: 1.0, SAME: 1.0}


@dataclass(frozen=True, eq=False)
class EditReading:
    """Measurements of one model before or after an edit of facts: P@1, log-probabilities, loss, and answers.

    Attributes:
        values: name of an effect -> one value for each fact or text: P@1 of the edited facts in the edited cloze
            (`RELIABILITY`) and in their other wordings (`GENERALITY`), their log-probability per token (`LOG_P`), P@1
            of the facts to keep (`LOCALITY`), and the cross entropy per token of neutral text (`LOSS`).
        answers: the object that ranks first for each fact to keep, or None if several objects tie for the first rank or
            the fact cannot be asked.
        subjects: name of an effect -> the subject of each value. Facts about one subject are one observation.
    """

    values: Mapping[str, Float[np.ndarray, "fact"]]
    answers: tuple[str | None, ...]
    subjects: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Effect:
    """One effect of an edit of facts, e.g. on P@1: means before and after, and their paired difference.

    Attributes:
        before, after: mean over facts, or over texts.
        difference: after - before.
        low, high: 95 % interval of the difference, over subjects or texts; None for fewer than two of them.
        n: number of facts, or of texts.
    """

    before: float
    after: float
    difference: float
    low: float | None
    high: float | None
    n: int


def read_facts(
    encoder: Encoder,
    head: LanguageHead,
    edited: Sequence[Fact],
    kept: Sequence[Fact],
    neutral: tuple[Sequence[ReadInput], Int[Tensor, "row"]],
) -> EditReading:
    """Measure a model's answers to edited facts (in all wordings) and to facts to keep, and its loss on neutral text.

    The candidates for answers are the objects of a relation in both sets of facts.

    Args:
        edited: facts that are added or removed.
        kept: facts that must stay as they are.
        neutral: model inputs of neutral text, and the id of the token to predict at each of their positions.
    """
    rows = list(enumerate([*edited, *kept]))
    measured = np.full((max(len(fact.clozes) for _, fact in rows), len(rows), len(MEASURES)), np.nan)
    answers: list[str | None] = [None] * len(rows)
    seen: set[tuple[int, object]] = set()  # tokens of each fact's wordings so far: equal ones count once
    for relation in dict.fromkeys(fact.relation for _, fact in rows):
        of_relation = [(row, fact) for row, fact in rows if fact.relation == relation]
        for wording in range(len(measured)):
            clozes = relation_clozes(encoder.tokenizer, head.kind, of_relation, wording)
            if clozes is None:
                continue
            recalled = recall(encoder, clozes, {HEAD: HeadReadout(head)}, seed=0)
            for place, row in enumerate(clozes.rows):
                if (row, clozes.context(place)) not in seen:
                    measured[wording, row] = recalled.measures[0, -1, place]
                seen.add((row, clozes.context(place)))
                first = recalled.first[0, -1, place]
                if wording == 0 and first != TIED:
                    answers[row] = clozes.objects[first]
    return _reading(measured, answers, edited, kept, _losses(encoder, head, *neutral))


def _reading(
    measured: Float[np.ndarray, "wording fact measure"],
    answers: Sequence[str | None],
    edited: Sequence[Fact],
    kept: Sequence[Fact],
    losses: Float[np.ndarray, "text"],
) -> EditReading:
    hit, log_p = measured[..., MEASURES.index(P1)], measured[0, :, MEASURES.index(LOG_P_TOKEN)]
    n = len(edited)
    others = hit[1:, :n]
    counts = np.isfinite(others).sum(0)
    general = np.where(counts > 0, np.nansum(others, axis=0) / np.maximum(counts, 1), np.nan)
    values = {RELIABILITY: hit[0, :n], GENERALITY: general, LOG_P: log_p[:n], LOCALITY: hit[0, n:], LOSS: losses}
    subjects = tuple(fact.subject for fact in edited), tuple(fact.subject for fact in kept)
    by_effect = {RELIABILITY: subjects[0], GENERALITY: subjects[0], LOG_P: subjects[0], LOCALITY: subjects[1],
                 LOSS: tuple(map(str, range(len(losses))))}  # fmt: skip
    return EditReading(values, tuple(answers[n:]), by_effect)


def _losses(
    encoder: Encoder, head: LanguageHead, inputs: Sequence[ReadInput], targets: Int[Tensor, "row"]
) -> Float[np.ndarray, "text"]:
    """Return the mean cross entropy over the predicted tokens of each text."""
    states = states_at(encoder, inputs)[-1]
    with torch.inference_mode():
        words = head.logits(states).log_softmax(-1).cpu()
    each = -words[torch.arange(len(targets)), targets].numpy().astype(np.float64)
    starts = np.cumsum([0, *(len(text.at) for text in inputs[:-1])])
    means: np.ndarray = np.add.reduceat(each, starts) / [len(text.at) for text in inputs]
    return means


def effects(before: EditReading, after: EditReading) -> dict[str, Effect]:
    """Compare a model before and after an edit: return each effect, e.g. on reliability, by name.

    They are in the order of `EFFECTS`. Effects without values are left out. `SAME` is the share of facts to keep whose
    first-ranked object is the same after the edit, whether it is correct or not. A tie for the first rank never counts
    as the same answer.
    """
    measured = {name: _effect(name, before, after) for name in before.values}
    pairs = zip(before.answers, after.answers, strict=True)
    same = np.array([old is not None and old == new for old, new in pairs], dtype=float)
    is_measured = np.where(np.isfinite(before.values[LOCALITY]), 1.0, np.nan)
    measured[SAME] = _paired(SAME, is_measured, same, before.subjects[LOCALITY])
    return {name: effect for name in EFFECTS if (effect := measured[name]) is not None}


def _effect(name: str, before: EditReading, after: EditReading) -> Effect | None:
    return _paired(name, before.values[name], after.values[name], before.subjects[name])


def _paired(name: str, first: np.ndarray, second: np.ndarray, subjects: Sequence[str]) -> Effect | None:
    there = np.isfinite(first) & np.isfinite(second)
    if not there.any():
        return None
    change = (second - first)[there]
    names = [subject for subject, is_measured in zip(subjects, there, strict=True) if is_measured]
    low = high = None
    if len(set(names)) > 1:
        bound = BOUNDS.get(name, np.inf)
        clusters = Clusters(numbered(np.unique(names, return_inverse=True)[1]))
        interval = crossed_mean(change[None], bounds=(-bound, bound), clusters=clusters)
        low, high = float(interval.low), float(interval.high)
    before, after = (float(values[there].mean()) for values in (first, second))
    return Effect(before, after, float(change.mean()), low, high, len(change))
