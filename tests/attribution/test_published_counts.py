"""Parity with the published code's own outputs on tiny models: no count may differ."""

import json
from pathlib import Path

import numpy as np
import pytest

from retroscope.attribution.attribute import attribute_neurons, plan_attribution
from retroscope.attribution.published import published_encoder
from retroscope.attribution.settings import NeuronSettings
from retroscope.attribution.units import text_units
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings

POOLING = {"CLS": "cls", "mean": "mean", "eos": "last_token"}


@pytest.mark.shared
@pytest.mark.parametrize("case", ["bert-cls", "bert-mean", "llama-eos"])
def test_published_counts(shared: Path, case: str) -> None:
    folder = shared / "golden" / case
    published = json.loads((folder / "neurons.json").read_text("utf-8"))
    load = LoadSettings(pooling=POOLING[published["encoder_type"]], protocol="ielab-2025")
    encoder = published_encoder(load_encoder(str(folder / "model"), load))
    settings = NeuronSettings(
        target="norm",
        quadrature="ielab-20",
        batch_size=published["batch_size"],
        thresholds=tuple(map(float, published["counts"])),
    )
    texts = published["texts"]
    made = attribute_neurons(
        plan_attribution(encoder, text_units([str(i) for i in range(len(texts))], texts), settings, padding_pooled=True)
    )
    different = total = 0
    for threshold, counts in published["counts"].items():
        for name, values in counts.items():
            _, block, part = name.split("_")
            mine = made.neurons[part]["count"].sel(threshold=float(threshold), layer=int(block) + 1).values
            different += int((mine != np.array(values)).sum())
            total += len(values)
    assert (different, total > 250) == (0, True)


@pytest.mark.shared
def test_the_batch_is_part_of_the_published_mean(shared: Path) -> None:
    """Padding enters the published mean, so another batch size gives other counts (and ours must show it)."""
    folder = shared / "golden" / "bert-mean"
    published = json.loads((folder / "neurons.json").read_text("utf-8"))
    encoder = published_encoder(
        load_encoder(str(folder / "model"), LoadSettings(pooling="mean", protocol="ielab-2025"))
    )
    texts = published["texts"]
    units = text_units([str(i) for i in range(len(texts))], texts)
    counts = []
    for size in (4, 1):
        settings = NeuronSettings(target="norm", quadrature="ielab-20", batch_size=size, thresholds=(0.1,))
        made = attribute_neurons(plan_attribution(encoder, units, settings, padding_pooled=True))
        counts.append(made.neurons["intermediate"]["count"].values)
    assert not np.array_equal(*counts)
