"""Signatures of failures are found where they are planted, and nowhere else."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from published_layouts import publish, write
from retroscope.encoders.checkpoints.folders import quiet
from retroscope.encoders.checks.finding import ERROR, NOTE, PASSED, WARNING, Finding, Origin
from retroscope.encoders.checks.signatures import (
    check_head,
    check_mean_of_decoder,
    check_new_tokens,
    check_similarity,
    check_training,
)
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from toys import save_toy, tokenizer


def loaded(folder: Path, load: LoadSettings | None = None) -> tuple[Encoder, Origin]:
    load = load or LoadSettings()
    return load_encoder(folder, load), Origin(folder, load)


def only(findings: list[Finding]) -> Finding:
    (one,) = findings
    return one


def test_a_skipped_dense_head_is_an_error(tmp_path: Path) -> None:
    folder = publish("embeddinggemma", tmp_path / "gemma")["query"]
    assert [*check_head(*loaded(folder))] == []
    rows = json.loads((folder / "modules.json").read_text())
    write(folder / "modules.json", [row for row in rows if row["path"] != "3_Dense"])
    found = only([*check_head(*loaded(folder, LoadSettings()))])
    assert (found.severity, "the Dense weights in 3_Dense are not used" in found.text) == (ERROR, True)


def test_a_missing_list_of_modules_and_a_module_alone_are_errors(tmp_path: Path) -> None:
    folder = publish("e5", tmp_path / "e5")["query"]
    (folder / "modules.json").rename(tmp_path / "kept.json")
    mean = LoadSettings(pooling="mean")
    assert (
        "1_Pooling/config.json is ignored, because the folder has no modules.json"
        in only([*check_head(*loaded(folder, mean))]).text
    )
    inner = save_toy("bert", folder / "0_Transformer")
    (tmp_path / "kept.json").rename(folder / "modules.json")
    rows = json.loads((folder / "modules.json").read_text())
    write(folder / "modules.json", [{**rows[0], "path": "0_Transformer"}, *rows[1:]])
    found = only([*check_head(*loaded(inner, mean))])
    assert (found.severity, found.fix) == (ERROR, f"give {folder}")


def test_a_mean_over_a_decoder_is_noted_only_where_the_user_gives_it(tmp_path: Path) -> None:
    llama = save_toy("llama", tmp_path / "llama")
    assert only([*check_mean_of_decoder(*loaded(llama, LoadSettings(pooling="mean")))]).severity == NOTE
    assert [*check_mean_of_decoder(*loaded(llama, LoadSettings(pooling="last_token")))] == []
    bert = save_toy("bert", tmp_path / "bert")
    assert [*check_mean_of_decoder(*loaded(bert, LoadSettings(pooling="mean")))] == []


def test_another_similarity_than_the_recorded_is_a_warning(tmp_path: Path) -> None:
    folder = publish("modernbert-embed", tmp_path / "one")["query"]
    assert [*check_similarity(folder, "cosine")] == []
    assert only([*check_similarity(folder, "dot")]).severity == WARNING
    unrecorded = publish("tas-b", tmp_path / "two")["query"]
    assert [*check_similarity(unrecorded, "dot")] == []


@pytest.mark.parametrize(("noise", "expected"), [(0.0, WARNING), (0.5, PASSED)])
def test_added_tokens_are_trained_or_not(noise: float, expected: str, tmp_path: Path) -> None:
    folder = save_toy("bert", tmp_path / "bert")
    assert [*check_new_tokens(*loaded(folder, LoadSettings(pooling="mean")))] == []
    tokens = tokenizer("bert")
    tokens.add_tokens(["gene", "protein"])
    tokens.save_pretrained(folder)
    with quiet():
        model = AutoModel.from_pretrained(folder)
        model.resize_token_embeddings(len(tokens), mean_resizing=True)
    with torch.no_grad():
        model.get_input_embeddings().weight[-2:] += noise
    model.save_pretrained(folder)
    found = only([*check_new_tokens(*loaded(folder, LoadSettings(pooling="mean")))])
    assert found.severity == expected
    assert expected == PASSED or "'gene', 'protein'" in found.text


@pytest.mark.parametrize("start", [1.0, 0.0])
def test_norms_that_never_moved_are_a_warning(start: float, tmp_path: Path) -> None:
    folder = save_toy("bert", tmp_path / "bert")
    mean = LoadSettings(pooling="mean")
    assert only([*check_training(*loaded(folder, mean))]).severity == PASSED
    file = folder / "model.safetensors"
    tensors = load_file(file)
    save_file({k: torch.full_like(v, start) if k.endswith("LayerNorm.weight") else v for k, v in tensors.items()}, file,
              {"format": "pt"})  # fmt: skip
    assert only([*check_training(*loaded(folder, mean))]).severity == WARNING
