"""Queries of one text are one observation, and shared passages enlarge the standard error."""

import numpy as np
import pytest
import xarray as xr
from scipy import sparse, stats
from statsmodels.stats.contingency_tables import mcnemar as mcnemar_of_table

from retroscope.scores import Scores, load_scores
from retroscope.statistics import ComparisonSettings, IntervalSettings, bootstrap_mean, compare_scores
from retroscope.statistics.resampling.clusters import Clusters, clusters_of, independent
from retroscope.statistics.resampling.flips import SignFlips, sign_flip_p
from retroscope.statistics.resampling.shared_passages import sharing
from retroscope.statistics.testing.equivalence import tost
from retroscope.statistics.testing.paired import PAIRED_TESTS, mcnemar, paired_t, sign_flip, signed_sum_p

FEW = IntervalSettings(resamples=400)


def hub_study(random, n=300, hubs=100, strength=1.0, k=4):
    """0/1 accuracies of two retrievers under a true null, and the clusters of the hubs that the queries share."""
    keys = -np.log(np.arange(1.0, hubs + 1)) + random.gumbel(size=(n, hubs))
    negatives = np.argpartition(-keys, k, axis=1)[:, :k]
    sides = []
    for _ in range(2):
        hub = strength * random.standard_normal(hubs)
        sides.append(1.0 + random.standard_normal(n) > (hub[negatives] + random.standard_normal((n, k))).max(axis=1))
    rows = np.repeat(np.arange(n), k)
    passages = sparse.csr_array((np.ones(n * k), (rows, negatives.ravel())), shape=(n, hubs))
    return *(side.astype(float)[:, None] for side in sides), Clusters(np.arange(n), passages)


def test_intervals_cover_with_hubs_among_the_negatives_and_those_over_queries_alone_do_not():
    random, studies = np.random.default_rng(4), 150
    covered = np.zeros(2)
    for _ in range(studies):
        before, after, clusters = hub_study(random)
        for at, what in enumerate((None, clusters)):
            estimate = bootstrap_mean(after - before, FEW, what)
            covered[at] += estimate.low[0] <= 0 <= estimate.high[0]
    error = 3 * np.sqrt(0.05 * 0.95 / studies)
    assert covered[1] / studies > 0.95 - error
    assert covered[0] / studies < 0.80  # the control: as if queries shared nothing


def test_tests_keep_their_level_with_hubs_and_do_not_without_clusters():
    random, studies = np.random.default_rng(5), 150
    rejected = np.zeros(2)
    for _ in range(studies):
        before, after, clusters = hub_study(random)
        p = mcnemar(before, after)
        shared = sharing(after - before, clusters)
        rejected += (p[0] <= 0.05, shared.p_values(p)[0] <= 0.05)
    assert rejected[1] / studies < 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)
    assert rejected[0] / studies > 0.20


def test_queries_that_share_no_passage_keep_every_bit():
    values = np.random.default_rng(0).standard_normal((40, 3))
    alone = Clusters(np.arange(40), sparse.csr_array(np.eye(40)))
    for what in (independent(40), alone):
        estimate, plain = bootstrap_mean(values, FEW, what), bootstrap_mean(values, FEW)
        np.testing.assert_array_equal((estimate.low, estimate.high), (plain.low, plain.high))


@pytest.mark.parametrize("test", ["paired_t", "sign_flip", "mcnemar", "wilcoxon"])
def test_copies_of_a_query_add_no_evidence(test):
    random = np.random.default_rng(2)
    before, after = ((random.random((30, 2)) > at).astype(float) for at in (0.6, 0.4))
    text = np.repeat(np.arange(30), 4)
    copied = PAIRED_TESTS[test](before[text], after[text], clusters=Clusters(text))
    np.testing.assert_allclose(copied, PAIRED_TESTS[test](before, after), rtol=1e-9)
    assert (PAIRED_TESTS[test](before[text], after[text]) < copied).all()  # as independent queries: too sure


def test_copies_of_a_query_leave_its_interval_as_it_was():
    values = np.random.default_rng(3).standard_normal((25, 2))
    text = np.repeat(np.arange(25), 3)
    copied, once = bootstrap_mean(values[text], FEW, Clusters(text)), bootstrap_mean(values, FEW)
    np.testing.assert_allclose((copied.low, copied.high), (once.low, once.high), rtol=1e-9)
    assert copied.n.tolist() == [75, 75]


def test_the_exact_law_of_signed_sums_is_mcnemars_and_that_of_all_flips():
    assert signed_sum_p(np.array([40]), 14) == pytest.approx(mcnemar_of_table([[0, 27], [13, 0]]).pvalue, rel=1e-12)
    sums = np.array([1, 1, -1, 2, 3, 1, -2, 1, 3.0])
    counts = np.array([(np.abs(sums) == k).sum() for k in (1, 2, 3)])
    every = sign_flip_p(sums[:, None], SignFlips(permutations=2**9))
    assert signed_sum_p(counts, int(abs(sums.sum()))) == pytest.approx(every[0], rel=1e-12)


def test_clustered_t_is_the_sandwich_of_the_texts():
    random = np.random.default_rng(6)
    text = random.integers(0, 20, 60)
    change = random.standard_normal(20)[text] + random.standard_normal(60) + 0.4
    sums = np.array([(change - change.mean())[text == g].sum() for g in np.unique(text)])
    error = np.sqrt(len(sums) / (len(sums) - 1) * (sums**2).sum()) / 60
    by_hand = 2 * stats.t.sf(abs(change.mean() / error), len(sums) - 1)
    found = PAIRED_TESTS["paired_t"](np.zeros((60, 1)), change[:, None], clusters=Clusters(text))
    assert found[0] == pytest.approx(by_hand, rel=1e-12)


def scores(values, texts, passages):
    ids = [f"q{i:03d}" for i in range(len(values))]
    made = Scores("probing", xr.DataArray(values, {"query": ids}, ("query",)), passages=passages)
    return made.with_texts(dict(zip(ids, texts, strict=True)))


def test_what_queries_share_survives_a_store_and_a_selection(tmp_path):
    accuracies = scores(np.arange(4.0), [0, 1, 1, 2], {"q000": ("a", "b"), "q002": ("b",)})
    accuracies.save(tmp_path / "s.zarr", "x")
    read = load_scores(tmp_path / "s.zarr", "x")
    assert read.passages == accuracies.passages
    assert read.texts.tolist() == [0, 1, 1, 2]
    few = read.select(query=["q002", "q001"])
    assert clusters_of(few).n_texts == 1


def test_a_comparison_counts_texts_and_passages():
    random = np.random.default_rng(7)
    ids, texts = [f"q{i:03d}" for i in range(60)], np.repeat(np.arange(30), 2)
    values = random.standard_normal(30)[texts]
    passages = dict.fromkeys(ids[:20], ("hub",))
    difference = compare_scores(scores(0 * values, texts, passages), scores(values, texts, passages))
    single = compare_scores(
        scores(0 * values[::2], texts[::2], {}), scores(values[::2], texts[::2], {}), ComparisonSettings()
    )
    assert (difference.method["queries"], difference.method["texts"], difference.method["passages"]) == (60, 30, 1)
    assert difference.table["p"] >= single.table["p"] * (1 - 1e-9)


def test_a_cell_without_any_query_is_left_alone() -> None:
    """As a table of ablations has them: its random draws have numbers where the top has none."""
    random = np.random.default_rng(4)
    values = np.full((40, 2), np.nan)
    values[:, 0] = random.standard_normal(40)
    shared = Clusters(np.arange(40), sparse.csr_array(np.repeat(np.eye(10), 4, axis=0)))
    alone, both = (bootstrap_mean(v, FEW, shared) for v in (values[:, :1], values))
    assert both.low[0] == alone.low[0]
    assert np.isnan(both.low[1])


@pytest.mark.parametrize("hubs", [20, 60, 300])
def test_degrees_of_freedom_are_those_of_the_variance_itself(hubs):
    """2 (mean V)^2 / var V over studies of one design; by counting hubs they were 1.7 times as many."""
    random, n, studies = np.random.default_rng(hubs), 200, 2000
    negatives = np.argpartition(-(random.gumbel(size=(n, hubs)) - 0.5 * np.log(np.arange(1.0, hubs + 1))), 4, axis=1)
    rows, columns = np.repeat(np.arange(n), 4), negatives[:, :4].ravel()
    z = np.zeros((n, hubs))
    z[rows, columns] = 1
    values = z @ random.standard_normal((hubs, studies)) + random.standard_normal((n, studies))
    estimate = sharing(values, Clusters(np.arange(n), sparse.csr_array(z)))
    variance = estimate.ratio**2 * values.var(axis=0, ddof=1)
    drawn = 2 * variance.mean() ** 2 / variance.var()
    # the estimate is taken at drawn components, and its traces are within 10 %
    assert 0.7 * drawn < np.median(estimate.df) < 1.4 * drawn


def test_the_order_of_the_queries_moves_no_p_value_of_shared_passages():
    """Queries are sorted by id: with traces by random signs, p moved (by 7 % on 13 queries) when ids were exchanged."""
    n = 150
    before, after, clusters = hub_study(np.random.default_rng(3), n=n, hubs=6, strength=2.0)
    order = np.random.default_rng(1).permutation(n)
    turned = Clusters(np.arange(n), clusters.passages[order])
    one, other = (sharing(v, c) for v, c in ((after - before, clusters), ((after - before)[order], turned)))
    assert one.ratio[0] > 1  # or nothing is tested
    for p in (0.5, 0.05, 1e-4):
        assert other.p_values(np.array([p]))[0] == pytest.approx(one.p_values(np.array([p]))[0], rel=1e-9)


ALIKE = {
    "one sum each": (np.tile([0.1, 0.2, 0.3], 4), np.repeat(np.arange(4), 3), 2 / 2**4),
    "one of two moves": (np.tile([0.5, 0.0], 2), np.repeat(np.arange(2), 2), 2 / 2**2),
    "changes cancel": (np.array([0.5, -0.5, 0.25, -0.25]), np.repeat(np.arange(2), 2), 1.0),
}


@pytest.mark.parametrize("case", ALIKE)
def test_texts_that_changed_alike_have_no_t_and_get_the_exact_value(case):
    """Their sums have no variance but rounding: t called .2 on two texts significant, or gave no p at all."""
    change, text, p = ALIKE[case]
    before, clusters = np.full((len(change), 1), 0.3), Clusters(text)
    after = before + change[:, None]
    assert paired_t(before, after, clusters=clusters)[0] == pytest.approx(p)
    assert sign_flip(before, after, clusters=clusters)[0] == pytest.approx(p)
    inside, outside = (tost(before, after, margin, clusters)[0] for margin in (0.6, 0.05))
    assert inside == 0.5**clusters.n_texts
    assert outside == (1.0 if abs(change.mean()) > 0.05 else inside)


def test_texts_that_changed_unlike_keep_their_t():
    """The negative control of the test above: the smallest difference between two texts has a variance."""
    change = np.array([0.1, 0.2, 0.1, 0.2 + 1e-9])
    p = paired_t(np.zeros((4, 1)), change[:, None], clusters=Clusters(np.repeat(np.arange(2), 2)))
    assert 0 < p[0] < 1e-6


def kinds_study(random, n=150, passages=75, k=4):
    """Accuracies of queries of two kinds, one easy and one hard, whose candidates are passages of their own kind."""
    kind = random.integers(0, 2, n)
    columns = random.integers(0, passages, (n, k)) + passages * kind[:, None]
    z = np.zeros((n, 2 * passages))
    z[np.arange(n)[:, None], columns] = 1
    values = (random.random(n) < np.where(kind, 0.95, 0.2)).astype(float)[:, None]
    return values, Clusters(np.arange(n), sparse.csr_array(z))


def test_two_kinds_of_queries_that_share_nothing_keep_their_interval():
    """Taken for passages that differ, the two kinds made intervals 2.5 times as wide."""
    random, studies = np.random.default_rng(8), 200
    covered, widths = 0, []
    for _ in range(studies):
        values, clusters = kinds_study(random)
        estimate, plain = bootstrap_mean(values, FEW, clusters), bootstrap_mean(values, FEW)
        covered += estimate.low[0] <= 0.575 <= estimate.high[0]
        widths.append((estimate.high - estimate.low)[0] / (plain.high - plain.low)[0])
    assert covered / studies > 0.95 - 3 * np.sqrt(0.05 * 0.95 / studies)
    assert np.median(widths) < 1.25


def test_documents_that_questions_were_written_for_count_as_drawn():
    """Five queries to each of 40 documents: as independent, intervals cover far less."""
    random, studies, documents, each = np.random.default_rng(9), 200, 40, 5
    covered = np.zeros(2)
    for _ in range(studies):
        document = np.repeat(np.arange(documents), each)
        values = random.standard_normal(documents)[document, None] + random.standard_normal((len(document), 1))
        z = np.zeros((len(document), documents * 4))
        z[np.arange(len(document))[:, None], document[:, None] * 4 + np.arange(4)] = 1
        for at, what in enumerate((None, Clusters(np.arange(len(document)), sparse.csr_array(z)))):
            estimate = bootstrap_mean(values, FEW, what)
            covered[at] += estimate.low[0] <= 0 <= estimate.high[0]
    error = 3 * np.sqrt(0.05 * 0.95 / studies)
    assert covered[1] / studies > 0.95 - error
    assert covered[0] / studies < 0.80


def test_a_widened_interval_stays_within_the_values():
    """An accuracy of .95 with a hub had an upper end of 1.004."""
    values = (np.arange(60) >= 3).astype(float)[:, None]
    z = np.zeros((60, 4))
    z[np.arange(60), np.where(np.arange(60) < 3, 0, 1 + np.arange(60) % 3)] = 1
    clusters = Clusters(np.arange(60), sparse.csr_array(z))
    estimate = bootstrap_mean(values, FEW, clusters)
    assert sharing(values, clusters).widening(0.95)[0] > 2
    assert 0 <= estimate.low[0] < 0.95 < estimate.high[0] <= 1


def test_max_t_judges_shared_passages_at_the_level_that_is_asked_for():
    """Few passages give few degrees of freedom, so that a t counts for less at 99 % than at 95 %."""
    random = np.random.default_rng(8)
    n, hubs, cells = 120, 10, 12
    hub = random.integers(0, hubs, n)
    values = random.standard_normal((n, cells)) + 0.8 * random.standard_normal((hubs, cells))[hub]
    ids = [f"q{k}" for k in range(n)]
    passages = {name: (f"p{k}",) for name, k in zip(ids, hub, strict=True)}
    labels = {"query": ids, "cell": range(cells)}
    sides = [Scores("x", xr.DataArray(v, labels, ("query", "cell")), passages=passages) for v in (0 * values, values)]
    usual, strict = (
        compare_scores(*sides, ComparisonSettings(test="sign_flip", correction="max_t", level=level)).table
        for level in (0.95, 0.99)
    )
    assert (usual["p"].values == strict["p"].values).all()
    gaps = strict["p_corrected"].values - usual["p_corrected"].values
    assert (gaps >= 0).all()
    assert (gaps > 0).sum() > cells / 2


def test_where_all_queries_share_all_passages_nothing_can_be_told_apart():
    values = np.random.default_rng(0).standard_normal((20, 2))
    estimate = sharing(values, Clusters(np.arange(20), sparse.csr_array(np.ones((20, 3)))))
    assert estimate.ratio.tolist() == [1, 1]
