from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression

from retroscope.probing.fitting.logits import Problems, choice_scores, fit_choices, mean_loss


def problem(choices=60, candidates=4, dim=7, seed=0, ridges=(0.001, 0.1, 3.0), dtype=torch.float64, scale=1.0):
    """One column for each ridge and N, labels that lean on the features."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(choices, candidates, dim)) * scale
    lean = x @ rng.normal(size=dim) + rng.gumbel(size=(choices, candidates))
    sizes = [n for n in range(2, candidates + 1) for _ in ridges]
    targets = [lean[:, :n].argmax(axis=1) for n in sizes]
    return Problems(
        torch.tensor(x, dtype=dtype),
        torch.tensor(np.array(targets)),
        torch.tensor(sizes),
        torch.tensor(list(ridges) * (candidates - 1), dtype=dtype),
    )


def scipy_loss(problems, column):
    """The minimum that an independent optimiser finds for an independently written loss."""
    n = int(problems.sizes[column])
    x, ridge = problems.features[:, :n].numpy(), float(problems.ridge[column])
    right = problems.targets[column].numpy()

    def loss(w):
        scores = x @ w
        chosen = scores[np.arange(len(x)), right]
        return (logsumexp(scores, axis=1) - chosen).mean() + ridge / 2 * w @ w

    return minimize(loss, np.zeros(x.shape[2]), method="BFGS", options={"gtol": 1e-9}).fun


@pytest.mark.filterwarnings("ignore:.*precision loss")
def test_every_column_has_the_loss_that_scipy_finds():
    problems = problem()
    fit = fit_choices(problems, tolerance=1e-9)
    assert fit.converged.all()
    for column, loss in enumerate(fit.loss.tolist()):
        assert loss == pytest.approx(scipy_loss(problems, column), abs=1e-6)


def test_two_candidates_are_a_logistic_regression_on_differences():
    problems = problem(choices=200, candidates=2, ridges=(0.05,))
    w = fit_choices(problems, tolerance=1e-12).weights[:, 0].numpy()
    difference = (problems.features[:, 0] - problems.features[:, 1]).numpy()
    known = LogisticRegression(C=1 / (200 * 0.05), fit_intercept=False, tol=1e-10, max_iter=1000)
    known.fit(difference, problems.targets[0].numpy() == 0)
    np.testing.assert_allclose(w, known.coef_[0], atol=1e-5)


@settings(max_examples=25)
@given(st.integers(0, 2**16), st.floats(0.1, 30), st.sampled_from([torch.float32, torch.float64]))
def test_the_certificate_is_true(seed, scale, dtype):
    """No column is further above its minimum than `excess` says (plus rounding of the loss itself)."""
    problems = problem(choices=25, dim=4, seed=seed, scale=scale, dtype=dtype, ridges=(0.01, 1.0))
    rough = fit_choices(problems, tolerance=1e-3)
    exact = fit_choices(
        Problems(problems.features.double(), problems.targets, problems.sizes, problems.ridge.double()), tolerance=1e-12
    )
    assert rough.converged.all()
    assert torch.all(rough.loss - exact.loss <= rough.excess + 2e-6 * (1 + exact.loss))


def test_separable_choices_converge_because_of_the_ridge():
    problems = problem(choices=20, dim=40, ridges=(0.01,))
    fit = fit_choices(problems, tolerance=1e-6)
    assert fit.converged.all()
    hits = problems.targets == choice_scores(problems.features, fit.weights, problems.sizes).argmax(dim=1).T
    assert hits.all()


def test_what_else_is_in_the_batch_changes_nothing():
    problems = problem(dtype=torch.float32)
    together = fit_choices(problems)
    for column in range(len(problems.sizes)):
        one = slice(column, column + 1)
        alone = fit_choices(
            Problems(problems.features, problems.targets[one], problems.sizes[one], problems.ridge[one])
        )
        assert alone.iterations[0] == together.iterations[column]
        torch.testing.assert_close(alone.weights[:, 0], together.weights[:, column], atol=1e-5, rtol=1e-4)


def test_too_few_iterations_are_admitted():
    fit = fit_choices(problem(ridges=(0.001,)), tolerance=1e-9, max_iterations=2)
    assert not fit.converged.any()
    assert fit.iterations.tolist() == [2, 2, 2]
    assert torch.all(fit.excess > 1e-9)


def test_features_without_difference_leave_weights_at_zero():
    problems = problem(ridges=(0.1,))
    same = Problems(torch.zeros_like(problems.features), problems.targets, problems.sizes, problems.ridge)
    fit = fit_choices(same)
    assert not fit.weights.any()
    assert fit.converged.all()
    torch.testing.assert_close(fit.loss, problems.sizes.double().log())


def test_a_shift_common_to_a_choice_changes_nothing():
    problems = problem()
    shift = torch.randn(60, 1, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    moved = Problems(problems.features + shift, problems.targets, problems.sizes, problems.ridge)
    first, second = fit_choices(problems, tolerance=1e-12), fit_choices(moved, tolerance=1e-12)
    torch.testing.assert_close(first.weights, second.weights, atol=1e-4, rtol=1e-4)


def test_the_loss_is_the_mean_log_chance():
    scores = torch.tensor([[[0.0], [0.0]], [[1.0], [-torch.inf]]])
    assert mean_loss(scores, torch.tensor([[1, 0]])).item() == pytest.approx(np.log(2) / 2)


@pytest.mark.filterwarnings("ignore:.*precision loss")
def test_an_offset_is_part_of_every_score():
    """Held against scipy's optimum of the same loss; the weights without offset lose to it."""
    problems = problem(ridges=(0.5,))
    columns = len(problems.sizes)
    offset = torch.randn(60, 4, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    anchored = fit_choices(replace(problems, offset=offset), tolerance=1e-9)
    assert anchored.converged.all()
    for column in range(columns):
        n = int(problems.sizes[column])
        x, right = problems.features[:, :n].numpy(), problems.targets[column].numpy()
        shift = offset[:, :n, column].numpy()

        def loss(w, x=x, right=right, shift=shift):
            scores = x @ w + shift
            chosen = scores[np.arange(len(x)), right]
            return (logsumexp(scores, axis=1) - chosen).mean() + 0.25 * w @ w

        best = minimize(loss, np.zeros(x.shape[2]), method="BFGS", options={"gtol": 1e-9}).fun
        assert anchored.loss[column].item() == pytest.approx(best, abs=1e-6)
        assert loss(fit_choices(problems, tolerance=1e-9).weights[:, column].numpy()) > best + 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_hessian_without_full_rank_and_a_tiny_ridge_still_precondition(dtype):
    """120 features that are copies of 40, of 20 choices: without a least shift the Cholesky factor does not exist."""
    few = problem(choices=20, dim=40, ridges=(1e-7, 1.0), dtype=dtype, scale=30.0)
    fit = fit_choices(replace(few, features=few.features.repeat(1, 1, 3)), tolerance=1e-3)
    assert fit.weights.isfinite().all()
    assert fit.converged[few.ridge == 1.0].all()
