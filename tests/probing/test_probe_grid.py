import json

import numpy as np
import pytest
import torch
import xarray as xr
from planted import DIM, N_QUERIES, choices, nothing, retriever, signal

from retroscope.collection.records import Candidates
from retroscope.errors import AnalysisError, RepresentationError
from retroscope.probing.grid import probe
from retroscope.probing.settings import ProbeSettings
from retroscope.scores import load_scores

FEW = ProbeSettings(probes=("cosine", "elementwise", "mdl"), passages=(2, 3), rank=4)
RECORD = [
    "model",
    "probe",
    "control",
    "n_passages",
    "layer",
    "accuracy",
    "ci_low",
    "ci_high",
    "train_accuracy",
    "seeds",
    "seed_sd",
    "layer_name",
    "selectivity",
    "n_queries",
]


@pytest.fixture(scope="module")
def result():
    return probe(signal(layers=2), choices(), FEW, random_weights=nothing(layers=2))


def test_scores_hold_every_query_under_every_label(result):
    values = result.scores.values
    assert values.dims == ("query", "probe", "control", "passages", "layer")
    assert values.sizes == {"query": N_QUERIES, "probe": 2, "control": 4, "passages": 2, "layer": 2}
    assert not np.isnan(values).any()
    assert values.min() >= 0
    assert values.max() <= 1


def test_the_mean_over_seeds_is_the_mean_over_queries_when_folds_are_equal(result):
    np.testing.assert_allclose(result.by_seed.mean("seed"), result.scores.mean(), atol=1e-12)


def test_code_lengths_are_bits_of_each_query(result):
    assert result.mdl.values.dims == ("query", "control", "passages", "layer")
    assert result.mdl.values.min() >= 0
    uniform = np.log2(result.mdl.values.coords["passages"])
    xr.testing.assert_allclose(result.compression(), uniform / result.mdl.mean())


def test_records_carry_the_numbers_and_their_doubt(result):
    rows = result.records()
    assert len(rows) == 2 * 4 * 2 * 2
    assert all(list(row) == RECORD for row in rows)
    json.dumps(rows)
    for row in rows:
        labels = {"probe": row["probe"], "control": row["control"], "passages": row["n_passages"]}
        mean = float(result.scores.mean().sel(**labels, layer=row["layer"]))
        assert row["accuracy"] == pytest.approx(mean)
        assert row["ci_low"] <= row["accuracy"] <= row["ci_high"]
        assert (row["selectivity"] is None) == (row["control"] != "none")
    wide = result.records(level=0.99)
    assert all(a["ci_low"] >= b["ci_low"] for a, b in zip(rows, wide, strict=True))


def test_random_weights_are_a_control_of_their_own(result):
    means = result.scores.mean().sel(probe="elementwise", passages=3, layer=1)
    assert means.sel(control="none") > 0.8
    assert means.sel(control="random_weights") < 0.45


def test_fits_say_how_they_went(result):
    fits = result.fits.sel(probe="elementwise")
    assert fits["converged"].all()
    assert (fits["excess"] <= FEW.tolerance).all()
    assert (fits["iterations"] >= 0).all()
    assert set(np.unique(fits["ridge"])) <= set(np.float64(np.float32(FEW.ridge)))
    assert np.isnan(result.fits["ridge"].sel(probe="cosine")).all()


def test_the_result_says_what_was_left_to_train_on(result):
    assert result.split_sizes.dims == ("seed", "part")
    assert result.split_sizes.sel(part="test").sum() == N_QUERIES
    assert result.recipe["split_sizes"][0]["train"] == int(result.split_sizes.sel(seed=0, part="train"))
    json.dumps(dict(result.recipe))


def test_scores_survive_the_disk(result, tmp_path):
    result.scores.save(tmp_path / "s.zarr", "probing")
    xr.testing.assert_allclose(load_scores(tmp_path / "s.zarr", "probing").values, result.scores.values)


def test_the_same_settings_give_the_same_numbers(result):
    again = probe(signal(layers=2), choices(), FEW, random_weights=nothing(layers=2))
    xr.testing.assert_identical(again.scores.values, result.scores.values)
    xr.testing.assert_identical(again.mdl.values, result.mdl.values)


def test_a_layer_alone_gives_what_it_gives_among_others(result):
    settings = ProbeSettings(**{**vars(FEW), "layers": (1,)})
    alone = probe(signal(layers=2), choices(), settings, random_weights=nothing(layers=2))
    xr.testing.assert_identical(alone.scores.values, result.scores.values.sel(layer=[1]))


def test_a_control_alone_gives_what_it_gives_among_others(result):
    """Labellings share one fit; what else is in the batch may move a rounding, not a choice."""
    settings = ProbeSettings(probes=("elementwise",), passages=(2, 3), controls=("hash_labels",))
    alone = probe(signal(layers=2), choices(), settings)
    together = result.scores.values.sel(probe=["elementwise"], control=["hash_labels"])
    assert float(np.abs(alone.scores.values - together).mean()) < 2 / N_QUERIES


def test_a_query_with_several_relevant_passages_counts_once():
    twice = [*choices(), Candidates("q0", "p1", ("p7", "p8", "p9", "p11"))]
    twice[0] = Candidates("q0", "p0", tuple(p for p in twice[0].negatives if p != "p1"))
    result = probe(signal(), twice, ProbeSettings(probes=("cosine",), passages=(2,), controls=("none",)))
    assert result.scores.values.sizes["query"] == N_QUERIES
    assert result.recipe["choices"] == N_QUERIES + 1
    assert float(result.scores.values.sel(query="q0").squeeze()) in (0.0, 0.5, 1.0)


def test_progress_counts_every_step():
    seen = []
    settings = ProbeSettings(probes=("cosine",), passages=(2,), seeds=2)
    probe(signal(layers=2), choices(), settings, random_weights=nothing(layers=2), progress=lambda *at: seen.append(at))
    assert seen == [(step, 8) for step in range(1, 9)]


def test_without_a_random_weight_copy_the_control_is_missing_and_said_to_be():
    result = probe(signal(), choices(), ProbeSettings(probes=("cosine",), passages=(2,), seeds=1))
    assert "random_weights" not in result.scores.values.coords["control"].values
    assert any("copy with random weights" in warning for warning in result.warnings)


def test_fits_that_do_not_converge_are_warned_of():
    settings = ProbeSettings(probes=("elementwise", "mdl"), passages=(2,), seeds=1, max_iterations=1, tolerance=1e-7)
    result = probe(signal(), choices(), settings)
    assert not result.fits["converged"].sel(probe="elementwise", control="none").all()
    assert any("elementwise: " in warning and "did not converge" in warning for warning in result.warnings)
    assert any("mdl: " in warning for warning in result.warnings)
    assert result.scores.warnings == result.warnings


def test_choices_without_enough_negatives_are_left_out_and_counted():
    short = [*choices(), Candidates("q0", "p0", ("p1",))]
    result = probe(signal(), short, ProbeSettings(probes=("cosine",), passages=(4,), seeds=1))
    assert result.left_out == (
        f"1 of {len(short)} query-passage pairs has fewer than 3 hard negatives and is left out of the probes",
    )
    assert probe(signal(), choices(), ProbeSettings(probes=("cosine",), passages=(4,), seeds=1)).left_out == ()


def broken(at):
    vectors = np.random.default_rng(0).normal(size=(N_QUERIES, 1, DIM))
    vectors[at, 0, 5] = np.inf
    return retriever(vectors, np.ones((N_QUERIES, 1, DIM)))


@pytest.mark.parametrize(
    ("world", "options", "error", "message"),
    [
        (lambda: broken(3), {}, AnalysisError, "infinite or missing values:\n  - q3"),
        (lambda: retriever(np.ones((300, 1, 4)), np.ones((300, 1, 5))), {}, AnalysisError, "4 dimensions.*5"),
        (lambda: retriever(np.ones((300, 1, 4)), np.ones((300, 2, 4))), {}, AnalysisError, "number of layers"),
        (lambda: signal(n=200), {}, RepresentationError, "there are no stored vectors for these ids"),
        (signal, {"layers": (1,)}, AnalysisError, "choose layers from 0 to 0"),
        (signal, {"controls": ("random_weights",)}, AnalysisError, "need a copy of the model with random weights"),
    ],
)
def test_vectors_that_cannot_be_probed(world, options, error, message):
    with pytest.raises(error, match=message):
        probe(world(), choices(), ProbeSettings(probes=("cosine",), passages=(2,), seeds=1, **options))


def test_the_number_of_threads_changes_no_number_and_stays_as_it_was(result):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        again = probe(signal(layers=2), choices(), FEW, random_weights=nothing(layers=2))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    xr.testing.assert_identical(again.scores.values, result.scores.values)
    xr.testing.assert_identical(again.mdl.values, result.mdl.values)
    xr.testing.assert_identical(again.fits, result.fits)
