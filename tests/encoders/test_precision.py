"""A lower precision changes products inside its context only, and a pilot refuses it where a result moves."""

import numpy as np
import pytest
import torch

from retroscope.encoders.hardware import autocast_type, in_precision
from retroscope.encoders.precision import PRECISION_NAMES, precision_effect
from retroscope.errors import SettingsError

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", PRECISION_NAMES)
def test_products_are_in_the_precision_inside_the_context_only(name: str) -> None:
    one, before = torch.full((4, 4), 1 / 3), torch.get_float32_matmul_precision()
    with in_precision(name, CPU):
        inside = (one @ one).dtype
        assert torch.get_float32_matmul_precision() == ("high" if name == "tf32" else before)
    assert inside == (autocast_type(name) or torch.float32)
    assert (one @ one).dtype == torch.float32
    assert torch.get_float32_matmul_precision() == before


def test_the_context_ends_after_an_error() -> None:
    before = torch.get_float32_matmul_precision()
    with pytest.raises(ZeroDivisionError), in_precision("tf32", CPU):
        raise ZeroDivisionError
    assert torch.get_float32_matmul_precision() == before


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(SettingsError, match="unknown precision 'bf16'"):
        in_precision("bf16", CPU)


def test_a_small_effect_is_stated() -> None:
    exact = np.array([0.5, 1.0, 0.25, 0.25])
    effect = precision_effect("bfloat16", "RR@10", exact, exact + np.array([0.004, 0.0, 0.0, 0.0]))
    assert effect.difference == pytest.approx(0.001)
    assert effect.standard_error == pytest.approx(0.001)
    assert effect.words().startswith("in bfloat16, the RR@10 of 4 queries is 0.5010, in float32 0.5000: a difference")


@pytest.mark.parametrize("wrong", [0.011, -0.011, float("nan"), float("inf")])
def test_an_effect_above_the_tolerance_is_refused(wrong: float) -> None:
    exact = np.full(50, 0.5)
    with pytest.raises(
        SettingsError,
        match=r"model: precision bfloat16 is not accurate enough .* at most 0\.01\): in bfloat16, the RR@10(.|\n)*"
        r"use precision float32",
    ):
        precision_effect("bfloat16", "RR@10", exact, exact + wrong, where="model")


def test_an_effect_at_the_tolerance_is_allowed() -> None:
    exact = np.zeros(50)
    assert precision_effect("tf32", "RR@10", exact, exact + 0.01).difference == 0.01
