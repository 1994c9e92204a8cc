"""Run forward passes in one of the precisions that `precision` names."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from retroscope.encoders.precision import AUTOCAST, TF32, check_precision

TF32_EPS = 2.0**-10


def autocast_type(precision: str) -> torch.dtype | None:
    """Return the number format that autocast multiplies in; None for "float32" and "tf32"."""
    check_precision(precision)
    return getattr(torch, precision) if precision in AUTOCAST else None


def in_precision(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which matrix products run in this precision; weights and sums stay float32."""
    dtype = autocast_type(precision)
    if precision == TF32:
        return _tensor_cores()
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


@contextmanager
def _tensor_cores() -> Iterator[None]:
    """Compute float32 matrix products in TF32 while the context is open."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
