"""Work on several threads: results in order, threads of torch divided and given back, nothing begun after an error."""

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from retroscope.engine.streams import AHEAD, in_streams
from retroscope.progress import heard_by, listener


def together(items: object, work: object, **options: object) -> list[object]:
    results: list[object] = []
    in_streams(items, work, lambda item, result: results.append((item, result)), **options)
    return results


@pytest.mark.parametrize("most", [0, 1, 2, 3, 100])
def test_results_come_in_the_order_of_the_items(three_threads: None, most: int) -> None:
    def slow_at_first(item: int) -> int:
        time.sleep(0.01 if item == 0 else 0)
        return item * item

    assert together(range(20), slow_at_first, most=most) == [(k, k * k) for k in range(20)]
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(
    ("most", "each", "inside"), [(1, None, 3), (2, None, 1), (3, None, 1), (9, None, 1), (1, 1, 1), (2, 2, 2)]
)
def test_streams_share_the_threads_of_torch(three_threads: None, most: int, each: int | None, inside: int) -> None:
    def threads(_item: int) -> tuple[int, int]:
        time.sleep(0.01)
        return torch.get_num_threads(), threading.get_ident()

    results = [result for _, result in together(range(12), threads, most=most, threads_each=each)]
    assert {count for count, _ in results} == {inside}
    assert len({thread for _, thread in results}) == min(most, 3)
    assert torch.get_num_threads() == 3


def test_work_inside_work_does_not_take_more_threads(three_threads: None) -> None:
    def nested(item: int) -> set[object]:
        return {result for _, result in together(range(4), lambda _: threading.get_ident(), most=4)}

    assert all(len(threads) == 1 for _, threads in together(range(4), nested, most=4))


def test_an_error_reaches_the_caller_and_ends_the_rest(three_threads: None) -> None:
    begun: list[int] = []

    def work(item: int) -> None:
        begun.append(item)
        if item == 5:
            raise KeyError(item)

    taken: list[int] = []
    with pytest.raises(KeyError, match="5"):
        in_streams(range(1000), work, lambda item, _: taken.append(item), most=1000)
    assert taken == [0, 1, 2, 3, 4]
    assert len(begun) <= 6 + AHEAD * 3
    assert torch.get_num_threads() == 3
    with pytest.raises(ZeroDivisionError):  # of what takes the results
        in_streams(range(1000), lambda item: item, lambda item, _: 1 // (item - 3), most=1000)
    assert torch.get_num_threads() == 3


def test_few_items_are_read_ahead(three_threads: None) -> None:
    """Items may hold vectors of a layer each."""
    read = taken = most = 0

    def items() -> Iterator[int]:
        nonlocal read, most
        for item in range(50):
            read += 1
            most = max(most, read - taken)
            yield item

    def take(_item: int, _result: int) -> None:
        nonlocal taken
        taken += 1

    in_streams(items(), lambda item: item, take, most=50)
    assert (read, taken) == (50, 50)
    assert most <= AHEAD * 3 + 1


def test_a_stream_sees_the_context_of_its_caller(three_threads: None) -> None:
    with heard_by(print):
        assert {result for _, result in together(range(4), lambda _: listener(), most=4)} == {print}
