"""Parity with the published code's own outputs on tiny models: no count may differ."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer

from retroscope.analyses.neurons.one_model import plan_on_texts
from retroscope.attribution.attribute import attribute_neurons, plan_attribution
from retroscope.attribution.examples import text_examples
from retroscope.attribution.published import published_encoder
from retroscope.attribution.result import NeuronAttribution
from retroscope.attribution.settings import AttributionSettings
from retroscope.encoders.loading import load_encoder, load_retriever
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import SettingsError
from toys import TOYS

POOLING = {"CLS": "cls", "mean": "mean", "eos": "last_token"}
NQ_QUERIES = "data/nq-open-gold/queries.jsonl"


@pytest.mark.shared
@pytest.mark.parametrize("case", ["bert-cls", "bert-mean", "llama-eos"])
def test_published_counts(shared: Path, case: str) -> None:
    folder = shared / "golden" / case
    published = json.loads((folder / "neurons.json").read_text("utf-8"))
    load = LoadSettings(pooling=POOLING[published["encoder_type"]], protocol="ielab-2025")
    encoder = published_encoder(load_encoder(str(folder / "model"), load))
    settings = AttributionSettings(
        target="norm",
        quadrature="ielab-20",
        batch_size=published["batch_size"],
        thresholds=tuple(map(float, published["counts"])),
    )
    texts = published["texts"]
    attribution = attribute_neurons(
        plan_attribution(
            encoder, text_examples([str(i) for i in range(len(texts))], texts), settings, padding_pooled=True
        )
    )
    different = total = 0
    for threshold, counts in published["counts"].items():
        for name, values in counts.items():
            _, block, part = name.split("_")
            mine = attribution.neurons[part]["count"].sel(threshold=float(threshold), layer=int(block) + 1).values
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
    examples = text_examples([str(i) for i in range(len(texts))], texts)
    counts = []
    for size in (4, 1):
        settings = AttributionSettings(target="norm", quadrature="ielab-20", batch_size=size, thresholds=(0.1,))
        attribution = attribute_neurons(plan_attribution(encoder, examples, settings, padding_pooled=True))
        counts.append(attribution.neurons["intermediate"]["count"].values)
    assert not np.array_equal(*counts)


# The published loop, written anew: weights overwritten, whole network, one matrix and one alpha at a time.
PREFIX = {"question": "query: ", "positive_context": "passage: "}
TARGETS = {"query": "question", "passage": "positive_context"}
QUERIES = (
    "Who wrote the first book about the moon?",
    "Who wrote the first book?",
    "The river",
    "Who wrote the first book?",  # equal texts are one text
    "Which cat sat on a mat, and was the mat too small for such a cat?",
    "Stars near heavy stars " * 40,  # more than 256 tokens
    "Gravity bends light?",
)


def published_loop(
    folder: Path, texts: Sequence[str], target: str, encoder_type: str, *, batch_size: int, thresholds: Sequence[float]
) -> dict[float, dict[str, np.ndarray]]:
    """Counts by threshold and `layer_0_intermediate` ..., as the published code makes them on a CPU."""
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    layers = model.layers if encoder_type == "eos" else model.encoder.layer
    matrices = {}
    for k, layer in enumerate(layers):
        first = layer.mlp.gate_proj if encoder_type == "eos" else layer.intermediate.dense
        matrices[f"layer_{k}_intermediate"] = first
        matrices[f"layer_{k}_output"] = layer.mlp.down_proj if encoder_type == "eos" else layer.output.dense
    if encoder_type == "eos":
        tokenizer.padding_side = "left"
    distinct = list(dict.fromkeys(texts))
    counts = {t: {name: np.zeros(len(m.weight), dtype=int) for name, m in matrices.items()} for t in thresholds}
    for start in range(0, len(distinct), batch_size):
        some = distinct[start : start + batch_size]
        dressed = [f"{PREFIX[target]}{text}</s>" for text in some] if encoder_type == "eos" else some
        batch = tokenizer(dressed, padding=True, truncation=True, max_length=256, return_tensors="pt")
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}  # no token_type_ids
        for row in range(len(some)):
            values = {}
            for name, matrix in matrices.items():
                embed = partial(_published_embedding, model, inputs, encoder_type, row)
                values[name] = published_attribution(matrix, embed, np.linspace(1e-6, 1, 20)).numpy()
            largest = max(v.max() for v in values.values())
            for threshold, name in product(thresholds, matrices):
                counts[threshold][name] += values[name] / largest >= threshold
    return counts


def published_attribution(matrix: nn.Linear, embed: Callable[[], Tensor], alphas: np.ndarray) -> Tensor:
    """sum_j |mean over alphas of dF/dW_ij * W_ij| of every row i; F is the L2 norm of the embedding."""
    kept = {name: parameter.detach().clone() for name, parameter in matrix.named_parameters()}
    total = torch.zeros_like(kept["weight"])
    for alpha in alphas.tolist():
        _overwrite(matrix, {name: alpha * values for name, values in kept.items()})
        (slope,) = torch.autograd.grad(embed().norm(), [matrix.weight])
        total += slope * kept["weight"] / len(alphas)
    _overwrite(matrix, kept)
    return total.abs().sum(1)


@torch.no_grad()
def _overwrite(matrix: nn.Linear, values: dict[str, Tensor]) -> None:
    for name, parameter in matrix.named_parameters():
        parameter.copy_(values[name])


def _published_embedding(model: nn.Module, inputs: dict[str, Tensor], encoder_type: str, row: int) -> Tensor:
    out = model(**inputs)
    if encoder_type == "CLS":
        return out.pooler_output[row]
    hidden = out.last_hidden_state
    return hidden[row].mean(0) if encoder_type == "mean" else hidden[row, -1]


def different_counts(found: NeuronAttribution, expected: dict[float, dict[str, np.ndarray]]) -> tuple[int, int]:
    """How many counts differ, of how many."""
    different = total = 0
    for threshold, by_name in expected.items():
        for name, values in by_name.items():
            _, block, part = name.split("_")
            mine = found.neurons[part]["count"].sel(threshold=threshold, layer=int(block) + 1).values
            different += int((mine != values).sum())
            total += len(values)
    return different, total


def ours(folder: Path, texts: Sequence[str], tower: str, encoder_type: str, batch_size: int) -> NeuronAttribution:
    retriever = load_retriever(folder, pooling=POOLING[encoder_type], protocol="ielab-2025")
    settings = AttributionSettings(
        target="norm", tower=tower, quadrature="ielab-20", batch_size=batch_size, thresholds=(0.01, 0.1), limit=0
    )
    return attribute_neurons(plan_on_texts(retriever, texts, settings, "ielab-2025"))


@pytest.mark.parametrize("tower", ["query", "passage"])
@pytest.mark.parametrize("encoder_type", ["CLS", "mean", "eos"])
def test_query_and_passage_texts_are_counted_as_published(encoder_type: str, tower: str, tmp_path: Path) -> None:
    folder = _checkpoint("llama" if encoder_type == "eos" else "bert", tmp_path / "model")
    expected = published_loop(folder, QUERIES, TARGETS[tower], encoder_type, batch_size=4, thresholds=(0.01, 0.1))
    different, total = different_counts(ours(folder, QUERIES, tower, encoder_type, 4), expected)
    assert (different, total) == (0, 2 * 2 * (24 + 16))


@pytest.mark.parametrize(("name", "encoder_type"), [("bert", "CLS"), ("bert", "mean"), ("roberta", "CLS")])
def test_padding_on_the_left_is_counted_as_published(name: str, encoder_type: str, tmp_path: Path) -> None:
    """The published CLS is the first column, and no positions are given: up to 90 of 160 counts differed."""
    folder = _checkpoint(name, tmp_path / "model", padding_side="left")
    expected = published_loop(folder, QUERIES[:5], "positive_context", encoder_type, batch_size=4, thresholds=(0.1,))
    different, total = different_counts(ours(folder, QUERIES[:5], "passage", encoder_type, 4), expected)
    assert (different, total) == (0, 2 * (24 + 16))


@pytest.mark.parametrize("encoder_type", ["CLS", "mean"])
def test_modules_after_the_pooling_are_no_part_of_the_published_count(encoder_type: str, tmp_path: Path) -> None:
    """The published code loads the backbone alone; with the dense module 60 to 71 of 160 counts differed."""
    plain = _checkpoint("bert", tmp_path / "plain")
    parts = [Transformer(str(plain)), Pooling(16, POOLING[encoder_type]), Dense(16, 8), Normalize()]
    folder = tmp_path / "with dense"
    SentenceTransformer(modules=parts, device="cpu", prompts={"query": "query: "}).save(str(folder))
    expected = published_loop(plain, QUERIES, "question", encoder_type, batch_size=4, thresholds=(0.01, 0.1))
    different, total = different_counts(ours(folder, QUERIES, "query", encoder_type, 4), expected)
    assert (different, total) == (0, 2 * 2 * (24 + 16))


@pytest.mark.parametrize(("name", "pooler", "warned"), [("bert", False, True), ("bert", True, False),
                                                        ("dpr-question", False, False)])  # fmt: skip
def test_a_pooler_that_the_checkpoint_lacks_is_a_warning(name: str, pooler: bool, warned: bool, tmp_path: Path) -> None:
    """The published code then reads a pooler with random weights; DPR has none in either code."""
    folder = _checkpoint(name, tmp_path / "model")
    if name == "bert" and not pooler:
        weights = load_file(folder / "model.safetensors")
        without = {key: value for key, value in weights.items() if "pooler" not in key}
        assert len(without) < len(weights)
        save_file(without, folder / "model.safetensors", {"format": "pt"})
    attribution = ours(folder, QUERIES[:2], "query", "CLS", 2)
    assert any("no weights of the pooler" in text for text in attribution.warnings) == warned


def test_the_wrapping_is_part_of_the_published_count(tmp_path: Path) -> None:
    """The parity test above can fail: query texts wrapped as passages are counted otherwise."""
    folder = _checkpoint("llama", tmp_path / "model")
    wrong = published_loop(folder, QUERIES, "positive_context", "eos", batch_size=4, thresholds=(0.01, 0.1))
    assert different_counts(ours(folder, QUERIES, "query", "eos", 4), wrong)[0] > 0


@pytest.mark.shared
@pytest.mark.parametrize("case", ["bert-cls", "bert-mean", "llama-eos"])
def test_query_texts_of_the_published_models(shared: Path, case: str) -> None:
    folder = shared / "golden" / case
    encoder_type = json.loads((folder / "neurons.json").read_text("utf-8"))["encoder_type"]
    queries = [json.loads(line)["text"] for line in (shared / NQ_QUERIES).read_text("utf-8").splitlines()[:6]]
    expected = published_loop(folder / "model", queries, "question", encoder_type, batch_size=4, thresholds=(0.01, 0.1))
    different, total = different_counts(ours(folder / "model", queries, "query", encoder_type, 4), expected)
    assert (different, total > 500) == (0, True)


def test_a_tower_is_told_by_its_recipe_or_by_name(tmp_path: Path) -> None:
    load = LoadSettings(pooling="last_token", protocol="ielab-2025")
    folder = _checkpoint("llama", tmp_path / "model")
    towers = {tower: load_encoder(folder, load, tower=tower) for tower in TARGETS}
    assert [published_encoder(towers[tower]).recipe.prompt for tower in TARGETS] == ["query: ", "passage: "]
    assert published_encoder(towers["passage"], "query").recipe.prompt == "query: "
    own = load_encoder(folder, replace(load, query_prompt="ask: "), tower="query")
    assert published_encoder(own, "query").recipe.prompt == "ask: "
    with pytest.raises(SettingsError, match=r"unknown tower 'querry'(.|\n)*did you mean 'query'"):
        published_encoder(towers["query"], "querry")


def _checkpoint(name: str, folder: Path, **tokens: str) -> Path:
    """A toy that reads 512 tokens, as published, where toys read 48; RoBERTa has two more positions."""
    toy = TOYS[name]
    replace(toy, config={**toy.config, "max_position_embeddings": 514}).save(folder)
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | {"model_max_length": 512, **tokens}), "utf-8")
    return folder
