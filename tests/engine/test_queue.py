"""The queue gives each shard to one worker at a time, in an order that its needs allow, and loses none."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retroscope.engine.queue import Queue
from retroscope.engine.shards import Shard


def shard(number: int, *needs: int) -> Shard:
    return Shard(str(number), f"key {number}", 1, None, tuple(map(str, needs)))


def test_shards_are_given_in_order_and_each_once() -> None:
    queue = Queue(map(shard, range(3)))
    assert [queue.take(worker).name for worker in "aba"] == ["0", "1", "2"]  # type: ignore[union-attr]
    assert (queue.take("b"), queue.is_finished) == (None, False)
    for name in "012":
        queue.done(name)
    assert queue.is_finished
    assert queue.missing == {}


def test_a_shard_waits_for_what_it_needs_and_others_go_ahead() -> None:
    queue = Queue([shard(0), shard(1, 0), shard(2)])
    assert [queue.take("a").name, queue.take("b").name] == ["0", "2"]  # type: ignore[union-attr]
    assert queue.take("c") is None
    queue.done("0")
    assert queue.take("c").name == "1"  # type: ignore[union-attr]


def test_what_a_lost_worker_had_goes_to_another() -> None:
    queue = Queue(map(shard, range(3)))
    for worker in "aab":
        queue.take(worker)
    queue.lost("a", "node died")
    assert {queue.take("b").name, queue.take("b").name} == {"0", "1"}  # type: ignore[union-attr]
    assert queue.failures == {"0": ["node died"], "1": ["node died"]}


def test_a_shard_that_fails_too_often_is_given_up_with_what_needs_it() -> None:
    queue = Queue([shard(0), shard(1, 0), shard(2, 1), shard(3), shard(4, 2)], attempts=2, lookahead=3)
    for attempt in range(2):
        taken = queue.take("a")
        assert taken is not None
        assert taken.name == "0"
        queue.failed("0", f"error {attempt}")
    while (taken := queue.take("a")) is not None:
        queue.done(taken.name)
    assert queue.is_finished
    assert queue.missing == {
        "0": "2 attempts, the last: error 1",
        "1": "needs shard 0, which is missing",
        "2": "needs shard 1, which is missing",
        "4": "needs shard 2, which is missing",
    }


def test_no_more_shards_are_read_than_may_wait() -> None:
    read: list[int] = []

    def stream() -> object:
        for number in range(100):
            read.append(number)
            yield shard(number, *([0] if number else []))

    queue = Queue(stream(), lookahead=5)  # type: ignore[arg-type]
    assert queue.take("a").name == "0"  # type: ignore[union-attr]
    assert queue.take("b") is None
    assert len(read) == 6


@given(st.integers(0, 40), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_whatever_happens_every_shard_is_done_or_named_once(size: int, workers: int, seed: int) -> None:
    """Random needs, failures and losses: needs are done first, no shard is with two workers, none is forgotten."""
    draw = random.Random(seed)
    shards = [shard(i, *draw.sample(range(i), draw.randint(0, min(i, 2)))) for i in range(size)]
    queue, held, done = Queue(shards, attempts=2, lookahead=4), dict[str, str](), list[str]()
    for _ in range(10_000):
        if queue.is_finished:
            break
        worker = str(draw.randrange(workers))
        taken = queue.take(worker)
        if taken is not None:
            assert taken.name not in held
            assert set(taken.needs) <= set(done)
            held[taken.name] = worker
        elif held:
            name = draw.choice(sorted(held))
            event = draw.random()
            if event < 0.6:
                queue.done(name)
                done.append(name)
            elif event < 0.9:
                queue.failed(name, "error")
            else:
                queue.lost(held[name], "lost")
                held = {other: holder for other, holder in held.items() if holder != held[name]}
            held.pop(name, None)
    assert queue.is_finished
    assert sorted([*done, *queue.missing]) == sorted(one.name for one in shards)


@pytest.mark.parametrize("attempts", [1, 3])
def test_errors_of_a_shard_that_is_done_at_last_are_kept(attempts: int) -> None:
    queue = Queue([shard(0)], attempts=attempts + 1)
    for attempt in range(attempts):
        queue.take("a")
        queue.failed("0", f"error {attempt}")
    queue.take("a")
    queue.done("0")
    assert (queue.missing, len(queue.failures["0"])) == ({}, attempts)
