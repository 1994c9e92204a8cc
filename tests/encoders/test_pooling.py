"""Pooling reads real tokens and nothing else."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from retroscope.encoders.pooling import LINEAR, ONE_TOKEN, POOLINGS, last_column, pooling
from retroscope.errors import SettingsError

BLIND_TO_PADDING = sorted(set(POOLINGS) - {"last_column"})
NAIVE = {
    "cls": lambda states: states[0],
    "pooler": lambda states: states[0],
    "mean": lambda states: states.mean(axis=0),
    "last_token": lambda states: states[-1],
    "max": lambda states: states.max(axis=0),
    "weighted_mean": lambda states: np.average(states, axis=0, weights=np.arange(1, len(states) + 1)),
    "mean_sqrt_len": lambda states: states.sum(axis=0) / np.sqrt(len(states)),
}


def batch(lengths: list[int], left: list[int], right: list[int], seed: int, padding: float) -> tuple[Tensor, Tensor]:
    """Random states of texts of these lengths, each after `left` columns of padding; all in one rectangle."""
    draw = np.random.default_rng(seed)
    width = max(sum(columns) for columns in zip(left, lengths, right, strict=True))
    hidden = np.full((len(lengths), width, 3), padding)
    mask = np.zeros((len(lengths), width), dtype=bool)
    for i, (length, before) in enumerate(zip(lengths, left, strict=True)):
        hidden[i, before : before + length] = draw.normal(size=(length, 3))
        mask[i, before : before + length] = True
    return torch.tensor(hidden, dtype=torch.float32), torch.tensor(mask)


texts = st.integers(1, 5).flatmap(
    lambda n: st.tuples(*(st.lists(st.integers(low, 7), min_size=n, max_size=n) for low in (1, 0, 0)))
)
garbage = st.sampled_from([0.0, 1e30, float("inf"), -float("inf"), float("nan")])


@pytest.mark.parametrize("name", BLIND_TO_PADDING)
@given(texts=texts, seed=st.integers(0, 99), padding=garbage)
def test_padding_on_either_side_changes_nothing_whatever_it_holds(
    name: str, texts: tuple[list[int], list[int], list[int]], seed: int, padding: float
) -> None:
    lengths, left, right = texts
    none = [0] * len(lengths)
    padded = pooling(name)(*batch(lengths, left, right, seed, padding))
    bare = pooling(name)(*batch(lengths, none, none, seed, 0.0))
    # sums of at most 7 terms of order 1, in another order; everything else is a choice and exact
    torch.testing.assert_close(padded, bare, atol=7 * 2**-23, rtol=7 * 2**-23)


@pytest.mark.parametrize("name", BLIND_TO_PADDING)
def test_a_batch_equals_a_loop_over_its_texts(name: str) -> None:
    lengths, left = [1, 4, 2, 7], [3, 0, 5, 1]
    hidden, mask = batch(lengths, left, [0, 2, 1, 0], seed=0, padding=float("nan"))
    expected = [
        NAIVE[name](hidden[i, b : b + n].double().numpy()) for i, (n, b) in enumerate(zip(lengths, left, strict=True))
    ]
    np.testing.assert_allclose(pooling(name)(hidden, mask).numpy(), np.stack(expected), atol=7 * 2**-23)


def test_the_last_column_is_padding_where_padding_is_on_the_right() -> None:
    hidden, mask = batch([2, 3], [0, 0], [1, 0], seed=0, padding=9.0)
    assert last_column(hidden, mask)[0].tolist() == [9.0] * 3
    assert torch.equal(last_column(hidden, mask)[1], pooling("last_token")(hidden, mask)[1])


def test_a_mask_with_a_prompt_cut_off_pools_the_rest() -> None:
    hidden, mask = batch([5], [2], [1], seed=0, padding=0.0)
    rest = mask & (mask.cumsum(1) > 2)
    expected = hidden[0, 4:7]
    torch.testing.assert_close(pooling("mean")(hidden, rest)[0], expected.mean(0))
    assert torch.equal(pooling("cls")(hidden, rest)[0], expected[0])


@pytest.mark.parametrize("name", BLIND_TO_PADDING)
def test_an_undefined_real_token_is_never_hidden(name: str) -> None:
    hidden, mask = batch([3], [1], [1], seed=0, padding=0.0)
    hidden[:, 1:4] = float("nan")
    assert pooling(name)(hidden, mask).isnan().all()


def test_an_unknown_pooling_shows_the_near_names() -> None:
    with pytest.raises(SettingsError, match=r"unknown pooling 'Men'\n  fix: did you mean 'mean'\? Known: cls, last"):
        pooling("Men")


@pytest.mark.parametrize("name", POOLINGS)
def test_the_sets_of_poolings_name_those_that_read_one_token_and_those_that_are_linear(name: str) -> None:
    hidden, mask = torch.randn(1, 5, 4, generator=torch.Generator().manual_seed(0)), torch.ones(1, 5, dtype=torch.bool)
    pooled = POOLINGS[name](hidden, mask)
    moved = [POOLINGS[name](hidden + 10 * (torch.arange(5) == token)[:, None], mask) for token in range(5)]
    assert (sum(not torch.equal(other, pooled) for other in moved) == 1) == (name in ONE_TOKEN)
    erased = torch.eye(4) - torch.full((4, 4), 0.25)  # without the direction (1, 1, 1, 1)
    assert torch.allclose(POOLINGS[name](hidden @ erased, mask), pooled @ erased, atol=1e-6) == (name in LINEAR)
