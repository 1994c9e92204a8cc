"""A pooling that the files of a checkpoint cannot record is asked for before any weight is read."""

import json
from pathlib import Path
from typing import Any

import pytest

from retroscope.encoders.checkpoints.recorded import refuse_without_pooling
from retroscope.encoders.loading import load_encoder, load_retriever
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import EncoderError, UnknownPoolingError

BERT, LLAMA = {"config.json": {"model_type": "bert"}}, {"config.json": {"model_type": "llama"}}


def folder(place: Path, files: dict[str, Any]) -> Path:
    place.mkdir()
    for name, content in files.items():
        (place / name).write_text(json.dumps(content))
    return place


def adapter(base: str) -> dict[str, Any]:
    return {"adapter_config.json": {"base_model_name_or_path": base}}


@pytest.mark.parametrize(
    ("files", "settings", "usual"),
    [
        (BERT, LoadSettings(), "cls or mean"),
        (LLAMA, LoadSettings(), "last_token or mean"),
        (LLAMA, LoadSettings(causal=False), "cls or mean"),
        (LLAMA, LoadSettings(protocol="ielab-2025"), "last_token or mean"),
    ],
)
def test_a_plain_checkpoint_without_pooling_is_refused(
    tmp_path: Path, files: dict[str, Any], settings: LoadSettings, usual: str
) -> None:
    place = folder(tmp_path / "plain", files)
    with pytest.raises(UnknownPoolingError, match="does not record its pooling") as caught:
        refuse_without_pooling(place, settings)
    assert caught.value.fix.endswith(f"usually {usual}")


@pytest.mark.parametrize(
    ("files", "settings"),
    [
        (BERT, LoadSettings(pooling="mean")),
        (BERT, LoadSettings(preset="contriever")),
        (BERT | {"modules.json": []}, LoadSettings()),
        ({"config.json": {"model_type": "dpr"}}, LoadSettings()),
        ({"config.json": {"model_type": "of_tomorrow"}}, LoadSettings()),
        ({}, LoadSettings()),
        (adapter("no-such/model"), LoadSettings()),
    ],
)
def test_what_records_it_or_does_not_show_it_is_left_to_loading(
    tmp_path: Path, files: dict[str, Any], settings: LoadSettings
) -> None:
    refuse_without_pooling(folder(tmp_path / "one", files), settings)
    refuse_without_pooling("no-such/model", settings)


def test_an_adapter_pools_as_its_base_records(tmp_path: Path) -> None:
    plain, known = folder(tmp_path / "plain", LLAMA), folder(tmp_path / "known", LLAMA | {"modules.json": []})
    refuse_without_pooling(folder(tmp_path / "one", adapter(str(known))), LoadSettings())
    over = folder(tmp_path / "other", adapter(str(plain)))
    for settings in (LoadSettings(), LoadSettings(base=str(plain))):
        with pytest.raises(UnknownPoolingError, match=r"does not record"):
            refuse_without_pooling(over, settings)
    refuse_without_pooling(over, LoadSettings(base=str(known)))


def test_python_is_refused_before_the_weights_are_read(tmp_path: Path) -> None:
    place = folder(tmp_path / "without-weights", BERT)
    with pytest.raises(UnknownPoolingError):
        load_encoder(place)
    with pytest.raises(UnknownPoolingError):
        load_retriever(query=place, passage=place)
    with pytest.raises(EncoderError, match=r"weights|safetensors"):  # which is what comes next
        load_encoder(place, LoadSettings(pooling="mean"))
