"""Coverage and level where queries share passages or repeat a text: as independent queries, and by clusters.

    python benchmarks/audit/clusters.py [--studies 400]

Planted: probe accuracy of two retrievers, 300 queries, 4 negatives each, drawn from hubs by Zipf's law; a hub's score
differs from retriever to retriever. A study draws hubs and queries anew, so that intervals should hold for both.
"""

import argparse
from functools import partial

import numpy as np
from scipy import sparse

from retroscope.statistics.resampling.clusters import Clusters, independent, numbered
from retroscope.statistics.resampling.intervals import IntervalSettings, bootstrap_mean
from retroscope.statistics.resampling.outcomes import outcome_change
from retroscope.statistics.resampling.shared_passages import sharing
from retroscope.statistics.testing.paired import PAIRED_TESTS

WORLDS = {
    "100 hubs, Zipf 1": {"hubs": 100, "zipf": 1.0},
    "50 hubs, all alike": {"hubs": 50, "zipf": 0.0},
    "400 hubs, Zipf .7": {"hubs": 400, "zipf": 0.7},
    "60 hubs, Zipf 1, 200 queries": {"hubs": 60, "zipf": 1.0, "n": 200},
    "100 hubs that do nothing": {"hubs": 100, "zipf": 1.0, "strength": 0.0},
}


def accuracies(random, effect, *, n=300, hubs=100, zipf=1.0, strength=1.0, k=4):
    """Accuracy of every query before and after, and its negatives."""
    weights = np.arange(1.0, hubs + 1) ** -zipf
    # Gumbel's trick draws k of the hubs without replacement for all queries at once
    keys = np.log(weights / weights.sum()) + random.gumbel(size=(n, hubs))
    negatives = np.argpartition(-keys, k, axis=1)[:, :k]
    sides = []
    for shift in (0.0, effect):
        hub = strength * random.standard_normal(hubs)
        positive = 1.0 + shift + random.standard_normal(n)
        sides.append((positive > (hub[negatives] + random.standard_normal((n, k))).max(axis=1)).astype(float))
    return sides[0], sides[1], negatives


def clustered(negatives, hubs):
    """The clusters of such a study."""
    n, k = negatives.shape
    rows = np.repeat(np.arange(n), k)
    passages = sparse.csr_array((np.ones(n * k), (rows, negatives.ravel())), shape=(n, hubs))
    return Clusters(np.arange(n), passages)


def covered(before, after, clusters):
    """Whether the true change, 0, lies in the bootstrap interval of independent queries, and in the score interval."""
    sides = (before[:, None], after[:, None], (after - before)[:, None])
    alone = bootstrap_mean(sides[2], IntervalSettings(resamples=500))
    return [one.low[0] <= 0 <= one.high[0] for one in (alone, outcome_change(*sides, clusters=clusters))]


def hub_study(name, studies, seed=0):
    """Coverage of the interval and rejections by McNemar's test, before and after."""
    world, random = WORLDS[name], np.random.default_rng(seed)
    counts = np.zeros(4)
    for _ in range(studies):
        before, after, negatives = accuracies(random, 0.0, **world)  # a true null: the mean difference is 0
        clusters = clustered(negatives, world["hubs"])
        change = (after - before)[:, None]
        counts[:2] += covered(before, after, clusters)
        p = PAIRED_TESTS["mcnemar"](before[:, None], after[:, None])
        shared = sharing(change, clusters)
        counts[2:] += (p[0] <= 0.05, (p if shared is None else shared.p_values(p))[0] <= 0.05)
    return counts / studies


def repeated_study(studies, seed=0, texts=390, queries=726):
    """Coverage and rejections of every test where queries repeat texts (as PolicyQA's do)."""
    random = np.random.default_rng(seed)
    tests = ("paired_t", "sign_flip", "mcnemar")
    counts = np.zeros((1 + len(tests), 2))
    for _ in range(studies):
        extra = random.choice(texts, queries - texts, p=(weights := np.arange(1.0, texts + 1) ** -0.5) / weights.sum())
        text = np.concatenate([np.arange(texts), extra])
        before, after = ((random.standard_normal(texts)[text] + 0.3 * random.standard_normal(queries) > 0.5) * 1.0
                         for _ in range(2))  # fmt: skip
        counts[0] += covered(before, after, Clusters(text))
        for at, what in enumerate((independent(queries), Clusters(text))):
            for row, test in enumerate(tests, start=1):
                p = PAIRED_TESTS[test](before[:, None], after[:, None], clusters=what)
                counts[row, at] += p[0] <= 0.05
    return dict(zip(("coverage of .95", *(f"{test}, level .05" for test in tests)), counts / studies, strict=True))


def frequent_texts(random):
    """Changes of 190 queries: one of 60 texts has 40 queries, 9 have 5 to 20."""
    text = np.repeat(np.arange(60), [40, 20, 20, 10, 10, 10, 5, 5, 5, 5, *[2] * 10, *[1] * 40])
    return random.standard_normal(len(text)) + 0.5 * random.standard_normal(60)[text], Clusters(text)


def passages_within_texts(random, alike):
    """Changes of 200 queries of 80 texts, each with 4 of 40 passages: those of its text if `alike`, else its own."""
    text = numbered(random.integers(0, 80, 200))
    drawn = random.integers(0, 40, (80, 4))[text] if alike else random.integers(0, 40, (200, 4))
    incidence = np.zeros((200, 40))
    np.put_along_axis(incidence, drawn, 1.0, axis=1)
    of_text, of_passage = 0.5 * random.standard_normal(80), 0.4 * random.standard_normal(40)
    change = random.standard_normal(200) + of_text[text] + incidence @ of_passage
    return change, Clusters(text, sparse.csr_array(incidence))


LIMITS = {
    "190 queries of 60 texts, the most frequent with 40": frequent_texts,
    "200 queries of 80 texts, other passages in every query": partial(passages_within_texts, alike=False),
    "200 queries of 80 texts, same passages in a text": partial(passages_within_texts, alike=True),
}


def limit_study(name, studies, seed=0):
    """Coverage and rejections of three tests of graded changes with mean 0."""
    random, tests = np.random.default_rng(seed), ("paired_t", "sign_flip", "mcnemar")
    counts = np.zeros(1 + len(tests))
    for _ in range(studies):
        change, clusters = LIMITS[name](random)
        estimate = bootstrap_mean(change[:, None], IntervalSettings(resamples=500), clusters)
        counts[0] += estimate.low[0] <= 0 <= estimate.high[0]
        for row, test in enumerate(tests, start=1):
            signs = np.sign(change)[:, None] if test == "mcnemar" else change[:, None]
            before, after = ((signs < 0) * 1.0, (signs > 0) * 1.0) if test == "mcnemar" else (0 * signs, signs)
            shared, p = sharing(after - before, clusters), PAIRED_TESTS[test](before, after, clusters=clusters)
            counts[row] += (p if shared is None else shared.p_values(p))[0] <= 0.05
    return dict(zip(("coverage of .95", *(f"{test}, level .05" for test in tests)), counts / studies, strict=True))


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=400)
    studies = parser.parse_args().studies
    error = 1.96 * np.sqrt(0.05 * 0.95 / studies)
    print(f"{studies} studies each; Monte-Carlo error of a .95 or .05: +-{error:.3f}; seed 0")
    print("what | before | after")
    for name in WORLDS:
        covered, better, rejected, fewer = hub_study(name, studies)
        print(f"{name}: coverage of .95 | {covered:.3f} | {better:.3f}")
        print(f"{name}: McNemar at .05 under the null | {rejected:.3f} | {fewer:.3f}")
    for what, (old, new) in repeated_study(studies).items():
        print(f"726 queries of 390 texts: {what} | {old:.3f} | {new:.3f}")
    for name in LIMITS:
        for what, share in limit_study(name, studies).items():
            print(f"{name}: {what} | | {share:.3f}")


if __name__ == "__main__":
    main()
