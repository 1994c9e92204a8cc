"""Helpers for a training in several processes (torchrun), of which only the first writes files."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from accelerate import PartialState


def n_processes() -> int:
    """Return the number of processes that train together; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Return whether this process is the first one, which writes the files."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def first_alone(device: str) -> Iterator[None]:
    """Run the body of the context in the first process, and afterwards in the other processes."""
    if n_processes() == 1:
        yield
        return
    with PartialState(cpu=device == "cpu").main_process_first():
        yield


def wait(device: str) -> None:
    """Wait until all processes of the training have reached this call."""
    if n_processes() > 1:
        PartialState(cpu=device == "cpu").wait_for_everyone()
