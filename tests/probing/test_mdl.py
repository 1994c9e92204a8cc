from math import log, log2

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from planted import choices

from retroscope.collection.records import Candidates
from retroscope.probing.mdl import block_ends, coding_order, mixture_bits
from retroscope.probing.tasks import build_task


def test_one_expert_is_its_own_code():
    chances = torch.tensor([0.5, 0.25, 0.125]).double().log().reshape(1, 1, 1, 3)
    torch.testing.assert_close(mixture_bits(chances).flatten(), torch.tensor([1.0, 2.0, 3.0]).double())


@given(st.integers(0, 2**16), st.integers(1, 5))
def test_a_mixture_is_never_much_longer_than_its_best_expert(seed, experts):
    rng = np.random.default_rng(seed)
    chances = torch.tensor(np.log(rng.uniform(0.01, 1, size=(1, 1, experts, 12))))
    best = -chances.sum(dim=3).max().item() / log(2)
    assert mixture_bits(chances).sum().item() <= best + log2(experts) + 1e-9


def test_the_mixture_is_a_code():
    """Over all messages of three binary choices the probabilities sum to one."""
    p = torch.tensor([[0.9, 0.2, 0.6], [0.3, 0.5, 0.1]]).double()
    total = 0.0
    for message in range(8):
        bits = torch.tensor([(message >> place) & 1 for place in range(3)])
        total += 2 ** -mixture_bits(torch.where(bits == 1, p, 1 - p).log()[None, None]).sum().item()
    assert total == pytest.approx(1.0)


def test_evidence_moves_the_mixture_to_the_better_expert():
    good, bad = 0.9, 0.1
    bits = mixture_bits(torch.tensor([[good] * 20, [bad] * 20]).log().reshape(1, 1, 2, 20))
    assert bits[0, 0, 0].item() == pytest.approx(1.0)
    assert bits[0, 0, -1].item() == pytest.approx(-log2(good), abs=1e-4)


def test_blocks_end_between_queries_and_reach_the_end():
    query = np.repeat(np.arange(64), 3)
    ends = block_ends(query)
    assert ends == [6, 12, 24, 48, 96, 192]


def test_the_order_is_a_shuffle_of_whole_queries():
    twice = choices(40) + [Candidates(f"q{i}", f"x{i}", ("x99", "x98", "x97")) for i in range(40)]
    task = build_task(twice, 3)
    message = coding_order(task, 5)
    assert sorted(message.query) == sorted(task.query)
    assert len(np.flatnonzero(np.diff(message.query))) == 39
    assert not np.array_equal(message.query, coding_order(task, 6).query)


def test_queries_of_one_text_are_in_one_block():
    """Else a later block would be coded by weights that were fitted to the same question."""
    candidates = [Candidates(f"q{i}", f"p{i}", (f"n{i}",)) for i in range(192)]
    task = build_task(candidates, 2, {f"q{i}": i % 64 for i in range(192)})
    text = task.texts[coding_order(task, 5).query]
    assert all(text[end - 1] != text[end] for end in block_ends(text)[:-1])
    assert len(np.flatnonzero(np.diff(text))) == 63
