"""Measure how much memory the forward and backward passes of an attribution need."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil
import torch
from torch import Tensor

FREE_SHARE = 4  # of the free memory, one part in so many is used where no budget is given
OVERHEAD = 2.0  # room for gradients and temporary values beside what a graph keeps: an allowance, not measured

SAID_WITHOUT_MEMORY = ("can't allocate memory", "MPS backend out of memory")  # by the CPU's allocator, by Apple's


@dataclass
class Tally:
    """Bytes that autograd graphs keep for the backward pass: now (`live`), and at most so far (`peak`).

    Tensors that share memory count once. Weights do not count.
    """

    live: int = 0
    peak: int = 0
    weights: frozenset[int] = frozenset()
    kept: dict[int, int] = field(default_factory=dict)

    def keep(self, tensor: Tensor) -> int:
        """Count the memory of a tensor that a graph saves, and return the key with which to call `free`."""
        key = tensor.untyped_storage().data_ptr()
        if key not in self.weights:
            if not self.kept.get(key):
                self.live += tensor.untyped_storage().nbytes()
            self.kept[key] = self.kept.get(key, 0) + 1
            self.peak = max(self.peak, self.live)
        return key

    def free(self, key: int, size: int) -> None:
        """Subtract the memory (`size` bytes) of a tensor that a graph has released."""
        if key not in self.weights:
            self.kept[key] -= 1
            self.live -= 0 if self.kept[key] else size


class _Kept:
    """A saved tensor that is subtracted from the count when its graph is deleted."""

    def __init__(self, tally: Tally, tensor: Tensor) -> None:
        # detached: a graph whose node keeps its own output would hold itself alive
        self.tally, self.tensor, self.key = tally, tensor.detach(), tally.keep(tensor)

    def __del__(self) -> None:
        self.tally.free(self.key, self.tensor.untyped_storage().nbytes())


@contextmanager
def graph_memory(model: torch.nn.Module) -> Iterator[Tally]:
    """Count the bytes that autograd graphs keep for the backward pass while the context is open.

    Args:
        model: the model whose weights do not count.
    """
    tally = Tally(weights=frozenset(p.untyped_storage().data_ptr() for p in model.parameters()))

    def unpack(kept: Any) -> Tensor:
        tensor: Tensor = kept.tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: _Kept(tally, tensor), unpack):
        yield tally


def distinct_bytes(tensors: Iterable[Tensor]) -> int:
    """Return how many bytes these tensors take. Tensors that share memory count once."""
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def free_memory(device: torch.device) -> int:
    """Return the number of free bytes on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def budget_of(memory: int | None, device: torch.device) -> int:
    """Return how many bytes may be used: `memory` if it is set, else a quarter of the free memory of the device."""
    return memory or free_memory(device) // FREE_SHARE


def out_of_memory(error: RuntimeError) -> bool:
    """Return whether an error reports a failed memory allocation, on a GPU or on the CPU."""
    message = str(error)
    return isinstance(error, torch.OutOfMemoryError) or any(words in message for words in SAID_WITHOUT_MEMORY)
