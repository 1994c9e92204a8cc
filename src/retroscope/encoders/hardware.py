"""Find the device, and run forward passes in one of the precisions that `precision` names."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from retroscope.encoders.precision import AUTOCAST, TF32, check_precision
from retroscope.encoders.settings import DEVICES
from retroscope.errors import SettingsError

TF32_EPS = 2.0**-10


def find_device(name: str) -> torch.device:
    """Return the torch device of that name, if this machine has it.

    A device that does not exist is an error, because a silent fall-back to the CPU could take days.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise SettingsError(f"unknown device {name!r}", fix=DEVICES) from None
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if not present.get(device.type, False) or (device.index or 0) >= count:
        have = [kind for kind, there in present.items() if there]
        raise SettingsError(f"device {name!r} is not available on this machine", fix=f"use one of: {', '.join(have)}")
    return device


def autocast_type(precision: str) -> torch.dtype | None:
    """Return the number format that autocast multiplies in, or None for "float32" and "tf32"."""
    check_precision(precision)
    return getattr(torch, precision) if precision in AUTOCAST else None


def in_precision(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which matrix products run in this precision. Weights and sums stay float32."""
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
