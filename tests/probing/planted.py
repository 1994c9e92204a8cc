"""Small worlds whose answer is known: what decides relevance is planted in the vectors."""

import numpy as np

from retroscope.collection.records import Candidates
from retroscope.representations.vectors import RetrieverRepresentations, representations_in_memory

DIM = 16
N_QUERIES = 300
NEGATIVES = 40


def choices(n=N_QUERIES, negatives=NEGATIVES, pool="gold", seed=0):
    """Query i's relevant passage is p_i; negatives are other gold passages, or passages nobody wants."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        if pool == "gold":
            others = rng.permutation(np.delete(np.arange(n), i))[:negatives]
            names = tuple(f"p{j}" for j in others)
        else:
            names = tuple(f"x{j}" for j in rng.permutation(n * 4)[:negatives])
        rows.append(Candidates(f"q{i}", f"p{i}", names))
    return rows


def retriever(queries, passages, name="planted"):
    """Representations of (text, layer, dim) arrays; passages are named p0, p1 ... then x0, x1 ..."""
    n = len(queries)
    ids = [f"p{i}" for i in range(n)] + [f"x{i}" for i in range(len(passages) - n)]
    return RetrieverRepresentations(
        name,
        representations_in_memory([f"q{i}" for i in range(n)], queries),
        representations_in_memory(ids, passages),
        "dot",
        {"made": "up"},
    )


def signal(transform=lambda q: q, noise=0.3, n=N_QUERIES, layers=1, seed=1):
    """Passage i is a function of query i, and noise: only a probe that reads both can tell."""
    rng = np.random.default_rng(seed)
    queries = rng.normal(size=(n, DIM))
    vectors = [transform(queries) + noise * rng.normal(size=(n, DIM)) for _ in range(layers)]
    return retriever(np.repeat(queries[:, None], layers, axis=1), np.stack(vectors, axis=1))


def prior(bump=3.0, n=N_QUERIES, seed=2):
    """Relevant passages share a direction that no other passage has; queries say nothing."""
    rng = np.random.default_rng(seed)
    passages = rng.normal(size=(n * 5, DIM))
    passages[:n, 0] += bump
    return retriever(rng.normal(size=(n, 1, DIM)), passages[:, None])


def nothing(n=N_QUERIES, layers=1, seed=3):
    """Vectors that know nothing of one another."""
    rng = np.random.default_rng(seed)
    return retriever(rng.normal(size=(n, layers, DIM)), rng.normal(size=(n, layers, DIM)))


def chance_tolerance(n_passages, n_queries=N_QUERIES, sds=4.0):
    """`sds` binomial standard deviations of the mean of n independent guesses."""
    p = 1 / n_passages
    return sds * (p * (1 - p) / n_queries) ** 0.5
