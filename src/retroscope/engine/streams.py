"""Run independent pieces of work on several threads (streams) of one process, each with a share of torch's threads.

Threads that share one forward pass wait for one another at every small operation. Threads that have a forward pass each
do not. Work that runs on a single thread also gives the same bytes on a machine with more processors.
"""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 2  # for each stream: how many pieces of work may have begun before the result of the first is taken


def in_streams(
    items: Iterable[Item],
    work: Callable[[Item], Result],
    take: Callable[[Item, Result], None],
    *,
    most: int,
    threads_each: int | None = None,
) -> None:
    """Call `work(item)` for every item on several threads, and `take(item, result)` on this thread, in items' order.

    There are as many streams as torch has threads, but at most `most`. Torch keeps gradients and autocast switched on
    or off for each thread, so `work` itself must switch them.

    Args:
        items: they are read a few at a time, as results are taken.
        most: largest number of streams, e.g. the number of items. With 1, this thread does everything.
        threads_each: torch's threads for each stream. None: all streams together use torch's threads.
    """
    threads = torch.get_num_threads()
    streams = max(1, min(threads, most))
    torch.set_num_threads(threads_each or threads // streams)  # threads that begin from now on use so many
    try:
        if streams == 1:
            for item in items:
                take(item, work(item))
        else:
            _on_threads(items, work, take, streams)
    finally:
        torch.set_num_threads(threads)


def _on_threads(
    items: Iterable[Item], work: Callable[[Item], Result], take: Callable[[Item, Result], None], streams: int
) -> None:
    begun: deque[tuple[Item, Future[Result]]] = deque()
    pool = ThreadPoolExecutor(streams, "streams")
    try:
        for item in items:
            begun.append((item, pool.submit(copy_context().run, work, item)))
            if len(begun) > AHEAD * streams:
                _take_first(begun, take)
        while begun:
            _take_first(begun, take)
    finally:
        pool.shutdown(cancel_futures=True)  # after an error, only what is running is waited for


def _take_first(begun: deque[tuple[Item, Future[Result]]], take: Callable[[Item, Result], None]) -> None:
    item, result = begun.popleft()
    take(item, result.result())
