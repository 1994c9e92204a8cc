"""Operations of encoding are counted from the anatomy, and their rate is measured."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from retroscope.encoders import work
from retroscope.encoders.encode import forward, pad
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from retroscope.encoders.work import measured_rate, operations, product_rate
from toys import save_toy


def toy(name: str, folder: Path) -> Encoder:
    return load_encoder(save_toy(name, folder), LoadSettings(pooling="mean"))


@pytest.mark.parametrize("family", ["bert", "llama", "modernbert"])
def test_the_operations_are_those_that_a_pass_runs(family: str, tmp_path: Path) -> None:
    encoder = toy(family, tmp_path)
    length = 24
    encoder.backbone.set_attn_implementation("eager")  # whose products are counted
    batch = pad(encoder, [[1] * length] * 2)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        forward(encoder, batch)
    counted = counter.get_total_flops()
    assert operations(encoder, [length, length]) == pytest.approx(counted, rel=0.1)


def test_padding_to_the_maximum_counts(tmp_path: Path) -> None:
    encoder = toy("bert", tmp_path)
    padded = replace(encoder, recipe=replace(encoder.recipe, pad_to_max=True))
    assert operations(padded, [3]) == operations(encoder, [encoder.recipe.max_length])


def test_rates_are_measured(tmp_path: Path) -> None:
    for precision in ("float32", "bfloat16"):
        assert measured_rate(toy("bert", tmp_path), np.array([3, 9, 9, 4000]), precision) > 0
    assert product_rate() > 1e8


def test_a_pass_that_is_held_up_does_not_decide_the_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, now = toy("bert", tmp_path), [0.0]
    seconds_a_text = iter([9.0, 1.0, 100.0, 1.0])  # the first pass warms up; the third is held up

    def held_up(encoder: Encoder, rows: Sequence[Sequence[int]], batch: int, precision: str = "float32") -> None:
        now[0] += next(seconds_a_text) * len(rows)

    monkeypatch.setattr(work, "final_vectors", held_up)
    monkeypatch.setattr(work, "perf_counter", lambda: now[0])
    assert measured_rate(encoder, np.array([16] * 9)) == pytest.approx(operations(encoder, [16]))
