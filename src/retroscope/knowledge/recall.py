"""Rank the answer of every fact among the objects of its relation (e.g. all cities), by layer and read-out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from retroscope.encoders.encoder import Encoder
from retroscope.knowledge.clozes import RelationClozes
from retroscope.knowledge.readouts import Readout
from retroscope.knowledge.states import states_at

CHUNK = 2048  # states whose words are looked up at once
P1, RR, LOG_P, LOG_P_TOKEN = "P@1", "RR", "log p", "log p a token"
SHUFFLED = "P@1, other subject"
TIED = -1  # instead of the index of an object
MEASURES = (P1, RR, LOG_P, LOG_P_TOKEN, SHUFFLED)


@dataclass(frozen=True, eq=False)
class Recalled:
    """How well a model recalls the facts of one relation in one wording of its clozes.

    Attributes:
        measures: [read-out, layer, fact, measure], the measures in the order of `MEASURES`.
        vocabulary: [read-out, layer, fact] rank of the answer among all tokens of the vocabulary. NaN for an answer of
            several tokens, and for a read-out that does not predict all tokens.
        first: [read-out, layer, fact] index of the object with the highest score, or `TIED` if several have it.
    """

    measures: Float[np.ndarray, "readout layer fact measure"]
    vocabulary: Float[np.ndarray, "readout layer fact"]
    first: Int[np.ndarray, "readout layer fact"]


def recall(
    encoder: Encoder,
    clozes: RelationClozes,
    readouts: Mapping[str, Readout],
    seed: int,
    on_facts: Callable[[int], None] | None = None,
) -> Recalled:
    """Rank the objects of a relation as answers to each of its facts, at every layer and by every read-out.

    Args:
        clozes: the tokenised facts of one relation.
        readouts: name -> read-out for this encoder.
        seed: seed of the draw of another subject for each fact (measure `SHUFFLED`).
        on_facts: called with the number of facts that were finished since the last call.
    """
    n_layers, n_facts = encoder.anatomy.n_blocks + 1, len(clozes.rows)
    scores = np.empty((len(readouts), n_layers, n_facts, len(clozes.objects)), dtype=np.float32)
    vocabulary = np.full((len(readouts), n_layers, n_facts), np.nan)
    for facts in _parts(clozes):
        places = [place for fact in facts for place in clozes.places(fact)]
        states = states_at(encoder, places)
        for k, readout in enumerate(readouts.values()):
            for layer in range(n_layers):
                words = readout.log_probabilities(layer, states[layer])
                words = words.reshape(len(facts), len(clozes.points), -1)
                scores[k, layer, facts] = _object_scores(words, clozes, readout)
                if readout.columns is None:
                    vocabulary[k, layer, facts] = _ranks_in_vocabulary(words, clozes, facts)
        if on_facts:
            on_facts(len(facts))
    others = other_subjects(clozes.subjects, seed)
    parts = [measured(scores[k, layer], clozes, others)
             for k in range(len(readouts)) for layer in range(n_layers)]  # fmt: skip
    shape = (len(readouts), n_layers, n_facts)
    return Recalled(np.stack(parts).reshape(*shape, len(MEASURES)), vocabulary, _first_objects(scores, clozes))


def _first_objects(scores: Float[np.ndarray, "*any object"], clozes: RelationClozes) -> Int[np.ndarray, "*any"]:
    """Return, for each fact, the index of the object with the highest score, or `TIED`.

    Correct answers other than the fact's own object are left out.
    """
    competing = np.where(clozes.right, -np.inf, scores)
    tied = (competing == competing.max(-1, keepdims=True)).sum(-1) > 1
    return np.where(tied, TIED, competing.argmax(-1))


def _parts(clozes: RelationClozes) -> Iterator[list[int]]:
    size = max(1, CHUNK // len(clozes.points))
    for start in range(0, len(clozes.rows), size):
        yield list(range(start, min(start + size, len(clozes.rows))))


def _object_scores(
    words: Float[Tensor, "fact point word"], clozes: RelationClozes, readout: Readout
) -> Float[np.ndarray, "fact object"]:
    """Return the mean log-probability per token of every object as the answer to each fact."""
    steps = torch.from_numpy(clozes.steps)
    point, token = steps[..., 0], steps[..., 1]
    there = point >= 0
    column = token.clamp(min=0) if readout.columns is None else readout.columns[token.clamp(min=0)]
    each = words[:, point.clamp(min=0), column] * there
    mean: np.ndarray = (each.sum(-1) / there.sum(-1)).numpy()
    return mean


def _ranks_in_vocabulary(
    words: Float[Tensor, "fact point word"], clozes: RelationClozes, facts: Sequence[int]
) -> Float[np.ndarray, "fact"]:
    """Return the rank of each answer among all tokens of the vocabulary, or NaN for an answer of several tokens.

    Tokens of equal probability get the mean of their ranks.
    """
    ranks = np.full(len(facts), np.nan)
    for row, fact in enumerate(facts):
        (point, token), *more = clozes.steps[clozes.answers[fact]]
        if not any(step[0] >= 0 for step in more):
            line = words[row, point]
            ranks[row] = 1 + float((line > line[token]).sum()) + float((line == line[token]).sum() - 1) / 2
    return ranks


def other_subjects(subjects: Sequence[str], seed: int) -> Int[np.ndarray, "fact"]:
    """Draw, for each fact, the index of a fact with another subject, or -1 if all facts have the same subject."""
    rng = np.random.default_rng(seed)
    others, names = np.full(len(subjects), -1), np.array(subjects)
    for fact, subject in enumerate(subjects):
        fitting = np.flatnonzero(names != subject)
        if fitting.size:
            others[fact] = rng.choice(fitting)
    return others


def measured(
    scores: Float[np.ndarray, "fact object"],
    clozes: RelationClozes,
    others: Int[np.ndarray, "fact"],
) -> Float[np.ndarray, "fact measure"]:
    """Return P@1, reciprocal rank and the other `MEASURES` of each fact, from the scores of all objects as its answer.

    Objects of equal score get the mean of their ranks. An object with the same tokens as the answer (e.g. in a
    lower-case vocabulary) ranks before the answer, because the model cannot distinguish the two.

    Args:
        scores: score of every object as the answer to each fact.
        clozes: the facts.
        others: for each fact, the index of a fact with another subject (see `other_subjects`).
    """
    facts = np.arange(len(scores))
    own = scores[facts, clozes.answers].astype(np.float64)
    hit, rank = _hit_and_rank(scores, clozes)
    competing = np.where(clozes.right, -np.inf, scores).astype(np.float64)
    log_p = own - np.logaddexp.reduce(competing, axis=1)
    swapped, _ = _hit_and_rank(scores[others], clozes)
    columns = {
        P1: hit,
        RR: 1 / rank,
        LOG_P: log_p,
        LOG_P_TOKEN: own,
        SHUFFLED: np.where(others >= 0, swapped, np.nan),
    }
    return np.stack([columns[name] for name in MEASURES], axis=1)


def _hit_and_rank(scores: np.ndarray, clozes: RelationClozes) -> tuple[np.ndarray, np.ndarray]:
    own = scores[np.arange(len(scores)), clozes.answers][:, None]
    rivals = ~clozes.right
    rivals[np.arange(len(scores)), clozes.answers] = False
    better = (((scores > own) & rivals) | clozes.twins).sum(1)
    equal = ((scores == own) & rivals & ~clozes.twins).sum(1)
    return np.where(better == 0, 1 / (1 + equal), 0.0), 1 + better + equal / 2


def most_frequent(clozes: RelationClozes) -> Float[np.ndarray, "fact"]:
    """Return the P@1 of each fact if the answer is always the most frequent object of these facts.

    It is a baseline. If k objects are equally frequent, the P@1 of a fact with one of them is 1/k. It is 0 for a fact
    whose answer has the same tokens as another object, because the model's P@1 is then 0, too.
    """
    counts = np.bincount(clozes.answers, minlength=len(clozes.objects))
    top = counts == counts.max()
    shares: np.ndarray = np.where(clozes.twins.any(1), 0.0, top[clozes.answers] / top.sum())
    return shares
