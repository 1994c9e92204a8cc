"""sentence-transformers folders of both generations give the vectors that the library itself gives."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Router, Transformer
from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling
from tokenizers.processors import TemplateProcessing
from torch import Tensor, nn

from retroscope.encoders.checkpoints.folders import quiet
from retroscope.encoders.encode import encode_layers
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder, load_retriever
from retroscope.errors import EncoderError
from toys import TEXTS, save_toy


def final(encoder: Encoder, texts: Sequence[str] = TEXTS) -> Tensor:
    return encode_layers(encoder, texts).final


def build(folder: Path, *modules: nn.Module, **options: Any) -> SentenceTransformer:
    with quiet():
        model = SentenceTransformer(modules=list(modules), device="cpu", **options)
        model.save(str(folder))
    return model


def transformer(tmp_path: Path, name: str = "bert") -> Transformer:
    with quiet():
        return Transformer(str(save_toy(name, tmp_path / f"plain-{name}")))


def edit_json(file: Path, **changes: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


POOLINGS = {
    "cls": "cls",
    "mean": "mean",
    "max": "max",
    "lasttoken": "last_token",
    "weightedmean": "weighted_mean",
    "mean_sqrt_len_tokens": "mean_sqrt_len",
}


@pytest.mark.parametrize("theirs", POOLINGS)
@pytest.mark.parametrize("name", ["bert", "qwen3", "t5", "modernbert"])
def test_every_pooling_equals_the_library(theirs: str, name: str, tmp_path: Path) -> None:
    model = build(tmp_path / "st", transformer(tmp_path, name), Pooling(16, theirs))
    retriever = load_retriever(tmp_path / "st")
    assert retriever.query.recipe.pooling == POOLINGS[theirs]
    assert retriever.query.recipe.sources["pooling"] == "checkpoint: 1_Pooling/config.json"
    expected = model.encode(list(TEXTS), convert_to_tensor=True)
    torch.testing.assert_close(final(retriever.query), expected, atol=1e-5, rtol=1e-5)


def test_dense_layer_norm_and_normalize_heads_equal_the_library(tmp_path: Path) -> None:
    torch.manual_seed(0)
    head = [Dense(16, 16, use_residual=True, activation_function=nn.ReLU()), LayerNorm(16), Dense(16, 8), Normalize()]
    with torch.no_grad():
        head[1].norm.weight.normal_()
    model = build(tmp_path / "st", transformer(tmp_path), Pooling(16, "mean"), *head)
    encoder = load_encoder(tmp_path / "st")
    assert encoder.recipe.head == ("dense", "layernorm", "dense", "normalize")
    expected = model.encode(list(TEXTS), convert_to_tensor=True)
    torch.testing.assert_close(final(encoder), expected, atol=1e-5, rtol=1e-5)


def test_a_projected_residual_equals_the_library(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build(tmp_path / "st", transformer(tmp_path), Pooling(16, "mean"), Dense(16, 6, use_residual=True))
    expected = model.encode(list(TEXTS), convert_to_tensor=True)
    torch.testing.assert_close(final(load_encoder(tmp_path / "st")), expected, atol=1e-5, rtol=1e-5)


def test_prompts_truncation_similarity_and_length_come_from_the_checkpoint(tmp_path: Path) -> None:
    prompts = {"query": "find: ", "document": "text: "}
    model = build(
        tmp_path / "st",
        transformer(tmp_path),
        Pooling(16, "mean"),
        prompts=prompts,
        truncate_dim=6,
        similarity_fn_name="dot",
    )
    model.max_seq_length = 9
    model.save(str(tmp_path / "st"))
    retriever = load_retriever(tmp_path / "st")
    assert retriever.similarity == "dot"
    assert (retriever.query.recipe.prompt, retriever.passage.recipe.prompt) == ("find: ", "text: ")
    assert (retriever.query.recipe.truncate_dim, retriever.query.recipe.max_length) == (6, 9)
    assert "prompt 'document'" in retriever.passage.recipe.sources["prompt"]
    queries, passages = (f(list(TEXTS), convert_to_tensor=True) for f in (model.encode_query, model.encode_document))
    torch.testing.assert_close(final(retriever.query), queries, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(final(retriever.passage), passages, atol=1e-5, rtol=1e-5)
    assert load_retriever(tmp_path / "st", query_prompt="", similarity="cosine").query.recipe.prompt == ""


@pytest.mark.parametrize("mode", POOLINGS)
@pytest.mark.parametrize("name", ["bert", "qwen3"])
def test_prompts_that_the_pooling_leaves_out(name: str, mode: str, tmp_path: Path) -> None:
    pooling = Pooling(16, mode, include_prompt=False)
    model = build(tmp_path / "st", transformer(tmp_path, name), pooling, prompts={"query": "find the text: "})
    retriever = load_retriever(tmp_path / "st")
    assert retriever.query.recipe.pool_prompt is False
    expected = model.encode_query(list(TEXTS), convert_to_tensor=True)
    torch.testing.assert_close(final(retriever.query), expected, atol=1e-5, rtol=1e-5)
    pooled = replace(retriever.query, recipe=replace(retriever.query.recipe, pool_prompt=True))
    assert torch.allclose(final(pooled), expected, atol=1e-3) == (mode == "lasttoken"), "the prompt must matter"


def test_a_padding_token_that_closes_every_text_is_no_token_of_the_prompt(tmp_path: Path) -> None:
    module = transformer(tmp_path, "qwen3")  # as Qwen3-Embedding, whose texts end with the padding token
    pad = module.tokenizer.pad_token
    module.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"$A {pad}", pair=f"$A $B {pad}", special_tokens=[(pad, module.tokenizer.pad_token_id)]
    )
    model = build(tmp_path / "st", module, Pooling(16, "mean", include_prompt=False), prompts={"query": "find: "})
    retriever = load_retriever(tmp_path / "st")
    expected = model.encode_query(list(TEXTS), convert_to_tensor=True)
    torch.testing.assert_close(final(retriever.query), expected, atol=1e-5, rtol=1e-5)


def test_a_default_prompt_is_for_both_towers(tmp_path: Path) -> None:
    options = {"prompts": {"generic": "x: "}, "default_prompt_name": "generic"}
    build(tmp_path / "st", transformer(tmp_path), Pooling(16, "mean"), **options)
    # the library also writes empty query and document prompts, which win over the default as they do there
    edit_json(tmp_path / "st" / "config_sentence_transformers.json", prompts={"generic": "x: "})
    retriever = load_retriever(tmp_path / "st")
    assert (retriever.query.recipe.prompt, retriever.query is retriever.passage) == ("x: ", True)


def test_routers_lead_queries_and_passages_through_their_own_modules(tmp_path: Path) -> None:
    query, passage = transformer(tmp_path, "bert"), transformer(tmp_path, "roberta")
    router = Router.for_query_document([query, Pooling(16, "cls")], [passage, Pooling(16, "mean")])
    model = build(tmp_path / "st", router, Normalize())
    retriever = load_retriever(tmp_path / "st")
    families = (retriever.query.anatomy.family, retriever.passage.anatomy.family)
    assert families == ("bert", "roberta")
    assert retriever.query.recipe.sources["pooling"] == "checkpoint: query_1_Pooling/config.json"
    queries, passages = (f(list(TEXTS), convert_to_tensor=True) for f in (model.encode_query, model.encode_document))
    torch.testing.assert_close(final(retriever.query), queries, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(final(retriever.passage), passages, atol=1e-5, rtol=1e-5)


def test_a_router_without_a_route_for_the_tower_is_an_error(tmp_path: Path) -> None:
    router = Router.for_query_document([transformer(tmp_path), Pooling(16)], [transformer(tmp_path), Pooling(16)])
    build(tmp_path / "st", router)
    file = tmp_path / "st" / "router_config.json"
    raw = json.loads(file.read_text())
    raw["structure"] = {"a": raw["structure"]["query"]}
    raw["parameters"]["default_route"] = None
    file.write_text(json.dumps(raw))
    with pytest.raises(EncoderError, match=r"no route for the query tower; its routes: a"):
        load_retriever(tmp_path / "st")


@pytest.mark.parametrize("mode", ["cls_token", "mean_tokens", "lasttoken"])
def test_the_first_generation_is_read(mode: str, tmp_path: Path) -> None:
    folder = tmp_path / "st"
    build(folder, transformer(tmp_path), Pooling(16, "mean"), Normalize())
    types = ["Transformer", "Pooling", "Normalize"]
    rows = json.loads((folder / "modules.json").read_text())
    old = [{**row, "type": f"sentence_transformers.models.{kind}"} for row, kind in zip(rows, types, strict=True)]
    (folder / "modules.json").write_text(json.dumps(old))
    flags = {f"pooling_mode_{m}": m == mode for m in ("cls_token", "mean_tokens", "max_tokens", "lasttoken")}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 16, **flags}))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 11, "do_lower_case": False}))
    (folder / "config_sentence_transformers.json").unlink()
    with quiet():
        theirs = SentenceTransformer(str(folder), device="cpu").encode(list(TEXTS), convert_to_tensor=True)
    retriever = load_retriever(folder)
    assert retriever.query.recipe.max_length == 11
    assert retriever.query.recipe.sources["max_length"] == "checkpoint: sentence_bert_config.json"
    assert retriever.similarity == "cosine"
    torch.testing.assert_close(final(retriever.query), theirs, atol=1e-5, rtol=1e-5)


def test_texts_are_lower_cased_where_the_checkpoint_says_so(tmp_path: Path) -> None:
    build(tmp_path / "st", transformer(tmp_path), Pooling(16, "mean"))
    shouted = [text.upper() for text in TEXTS]
    cased = load_encoder(tmp_path / "st")
    assert not torch.allclose(final(cased), final(cased, shouted), atol=1e-3)
    edit_json(tmp_path / "st" / "sentence_bert_config.json", do_lower_case=True)
    lower = load_encoder(tmp_path / "st")
    torch.testing.assert_close(final(lower), final(lower, shouted))
    assert lower.fingerprint != cased.fingerprint


def test_lengths_of_each_tower(tmp_path: Path) -> None:
    build(tmp_path / "st", transformer(tmp_path), Pooling(16, "mean"))
    edit_json(tmp_path / "st" / "sentence_bert_config.json", query_length=7, document_length=13)
    retriever = load_retriever(tmp_path / "st")
    assert (retriever.query.recipe.max_length, retriever.passage.recipe.max_length) == (7, 13)


@pytest.mark.parametrize(
    ("file", "changes", "expected"),
    [
        (
            "1_Pooling/config.json",
            {"pooling_mode": ["cls", "mean"]},
            r"must be exactly one known name, found cls \+ mean",
        ),
        (
            "1_Pooling/config.json",
            {"pooling_mode": "median"},
            "must be exactly one known name, found median",
        ),
        ("sentence_bert_config.json", {"transformer_task": "fill-mask"}, "transformer_task fill-mask"),
        (
            "sentence_bert_config.json",
            {"query_expansion": {"k": 1}},
            "settings of the transformer module are not supported:(.|\n)*query_expansion",
        ),
        ("sentence_bert_config.json", {"processing_kwargs": {"text": {"padding": 1}}}, r"text\.padding"),
        ("sentence_bert_config.json", {"module_output_name": "sentence_embedding"}, "module_output_name"),
        ("2_Dense/config.json", {"activation_function": "os.system"}, "unknown activation function 'os.system'"),
        ("2_Dense/config.json", {"activation_function": "torch.nn.Tanhh"}, "did you mean 'Tanh'"),
        ("2_Dense/config.json", {"out_features": 9}, "weights do not fit the module's configuration"),
        (
            "2_Dense/config.json",
            {"module_input_name": "token_embeddings"},
            "module_input_name of this Dense module is 'token_embeddings'",
        ),
        ("config_sentence_transformers.json", {"similarity_fn_name": "manhattan"}, "similarity 'manhattan'"),
    ],
)
def test_settings_that_are_not_understood_are_errors(
    file: str, changes: dict[str, object], expected: str, tmp_path: Path
) -> None:
    build(tmp_path / "st", transformer(tmp_path), Pooling(16, "mean"), Dense(16, 8))
    edit_json(tmp_path / "st" / file, **changes)
    with pytest.raises(EncoderError, match=expected):
        load_retriever(tmp_path / "st")


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (["custom_st.Transformer"], "unknown module type 'custom_st.Transformer'"),
        (["sentence_transformers.models.Transformer", "sentence_transformers.models.Poolin"], "did you mean 'Pooling'"),
        (
            ["sentence_transformers.models.Transformer"],
            "the first modules must be Transformer and Pooling, found Transformer",
        ),
    ],
)
def test_modules_that_are_not_known_are_named(kinds: list[str], expected: str, tmp_path: Path) -> None:
    rows = [{"idx": i, "name": str(i), "path": "", "type": kind} for i, kind in enumerate(kinds)]
    (tmp_path / "modules.json").write_text(json.dumps(rows))
    with pytest.raises(EncoderError, match=expected):
        load_retriever(tmp_path)


def module_rows(folder: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    file = folder / "modules.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda rows: [*rows[:2], rows[3], rows[2]], r"idx of the modules must rise .*, found \[0, 1, 3, 2\]"),
        (lambda rows: [*rows[:3], {**rows[3], "idx": 2}], r"idx of the modules must rise .*, found \[0, 1, 2, 2\]"),
        (lambda rows: [*rows[:3], {**rows[3], "name": "2"}], "the name '2' occurs more than once"),
        (lambda rows: [*rows, {**rows[1], "idx": 4, "name": "4"}], "types Dense, .*; found Pooling"),
        (lambda rows: [*rows, {**rows[0], "idx": 4, "name": "4"}], "types Dense, .*; found Transformer"),
    ],
)
def test_modules_in_an_ambiguous_order_are_refused(
    change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], expected: str, tmp_path: Path
) -> None:
    """The library goes by the list and keeps one module of each name: other vectors than the order of `idx` gives."""
    build(tmp_path / "st", transformer(tmp_path), Pooling(16, "mean"), Dense(16, 8), Normalize())
    load_retriever(tmp_path / "st")
    module_rows(tmp_path / "st", change)
    with pytest.raises(EncoderError, match=rf"modules\.json: (.|\n)*{expected}(.|\n)*fix: list every module once"):
        load_retriever(tmp_path / "st")


@pytest.mark.parametrize("modules", [[Dense(8, 4)], [Dense(16, 8), Dense(12, 4)], [Dense(16, 8), LayerNorm(16)]])
def test_modules_that_do_not_fit_one_another_are_refused(modules: list[nn.Module], tmp_path: Path) -> None:
    build(tmp_path / "st", transformer(tmp_path), Pooling(16, "mean"), *modules)
    with pytest.raises(EncoderError, match=r"st: a (Dense|LayerNorm) module takes vectors of \d+ values, but gets"):
        load_retriever(tmp_path / "st")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda tensor: tensor.to(torch.int8), "whole numbers or truth values"),
        (lambda tensor: tensor > 0, "whole numbers or truth values"),
        (lambda tensor: tensor * float("nan"), "NaN or infinite values"),
        (lambda tensor: tensor / 0, "NaN or infinite values"),
    ],
)
def test_weights_of_a_module_are_finite_fractions(
    change: Callable[[Tensor], Tensor], expected: str, tmp_path: Path
) -> None:
    build(tmp_path / "st", transformer(tmp_path), Pooling(16, "mean"), Dense(16, 8))
    file = tmp_path / "st" / "2_Dense" / "model.safetensors"
    save_file({name: change(tensor) for name, tensor in load_file(file).items()}, file)
    with pytest.raises(EncoderError, match=rf"2_Dense: these weights .*{expected}.*:\n  - linear\."):
        load_retriever(tmp_path / "st")


@pytest.mark.parametrize("part", ["2_Dense", "."])
def test_a_pickled_part_is_refused_with_advice_that_helps(part: str, tmp_path: Path) -> None:
    folder = tmp_path / "st"
    build(folder, transformer(tmp_path), Pooling(16, "mean"), Dense(16, 8))
    expected = final(load_retriever(folder).query)
    file = folder / part / "model.safetensors"
    torch.save(load_file(file), file.with_name("pytorch_model.bin"))
    file.unlink()
    advice = re.escape(f"`SentenceTransformer({str(folder)!r}).save_pretrained(NEW_FOLDER)`")
    with pytest.raises(EncoderError, match=rf"no weights in safetensors(.|\n)*never read(.|\n)*{advice}"):
        load_retriever(folder)
    with quiet():
        SentenceTransformer(str(folder), device="cpu").save_pretrained(str(tmp_path / "new"))
    torch.testing.assert_close(final(load_retriever(tmp_path / "new").query), expected)


@pytest.mark.real
def test_a_real_retriever_equals_the_library(minilm: Path) -> None:
    with quiet():
        theirs = SentenceTransformer(str(minilm), device="cpu").encode(list(TEXTS), convert_to_tensor=True)
    retriever = load_retriever(minilm)
    assert (retriever.query.recipe.pooling, retriever.query.recipe.head) == ("mean", ("normalize",))
    assert (retriever.query.recipe.max_length, retriever.similarity) == (256, "cosine")
    assert retriever.query.proof.loaded == 103
    assert (final(retriever.query) - theirs).abs().max() < 1e-5
