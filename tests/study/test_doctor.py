"""The doctor finds every defect that is planted, and nothing where there is none."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from torch import Tensor

from retroscope.encoders import pooling
from retroscope.encoders.checkpoints.folders import quiet
from retroscope.encoders.checks.finding import ERROR, NOTE, PASSED, WARNING, Finding
from retroscope.encoders.settings import LoadSettings
from retroscope.inputs.settings import ModelSettings
from retroscope.study.doctor.diagnosis import Diagnosis, diagnose, doctor_document, doctor_words
from retroscope.training.model import end_with_eos
from toy_adapters import adapter
from toys import TOYS, save_toy, tokenizer

MEAN = LoadSettings(pooling="mean")
LAST = LoadSettings(pooling="last_token")


def examined(model: Path, load: LoadSettings = MEAN) -> Diagnosis:
    return diagnose({"model": ModelSettings(source=str(model), load=load)})


def pair(before: Path, after: Path, load: LoadSettings = MEAN) -> Diagnosis:
    return diagnose({r: ModelSettings(source=str(m), load=load) for r, m in (("before", before), ("after", after))})


def only(findings: Diagnosis, *severities: str) -> list[Finding]:
    """Findings but those about similarities: toys of random weights find everything alike."""
    return [f for _, f in findings.findings if f.severity in severities and f.check != "similarities"]


def one(findings: Diagnosis, check: str, severity: str) -> Finding:
    (finding,) = [f for _, f in findings.findings if (f.check, f.severity) == (check, severity)]
    return finding


def alter(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]], name: str = "model") -> Path:
    file = folder / f"{name}.safetensors"
    save_file(change(load_file(file)), file, {"format": "pt"})
    return folder


def set_json(file: Path, **changes: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.mark.parametrize("name", TOYS)
def test_a_sound_model_has_no_errors(name: str, tmp_path: Path) -> None:
    findings = examined(save_toy(name, tmp_path / name))
    assert only(findings, ERROR) == []
    assert findings.sound
    assert {f.severity for f in only(findings, WARNING)} <= ({WARNING} if name.startswith("dpr") else set())


def test_a_dpr_context_encoder_under_another_class(tmp_path: Path) -> None:
    folder = save_toy("dpr-context", tmp_path / "ctx")
    warned = one(examined(folder, LoadSettings()), "loading", WARNING)
    assert "AutoModel would load it as a question encoder with random weights" in warned.text
    set_json(folder / "config.json", architectures=["DPRQuestionEncoder"])
    findings = examined(folder, LoadSettings())
    assert not findings.sound
    assert "config.json names DPRQuestionEncoder" in one(findings, "loading", ERROR).text


def test_an_adapter_under_other_names(tmp_path: Path) -> None:
    folder = adapter("llama", tmp_path, ["q_proj"])
    alter(folder, lambda t: {k.replace("self_attn", "attention"): v for k, v in t.items()}, "adapter_model")
    finding = one(examined(folder), "loading", ERROR)
    assert "attached nowhere" in finding.text
    assert finding.fix


def test_an_adapter_that_does_nothing(tmp_path: Path) -> None:
    folder = adapter("llama", tmp_path, ["q_proj"])
    moves = one(examined(folder), "adapter", PASSED)
    assert moves.text.startswith("the adapter changes vectors by")
    alter(folder, lambda t: {k: v * ("lora_A" in k) for k, v in t.items()}, "adapter_model")
    findings = pair(tmp_path / "base", folder)
    assert not findings.sound
    assert "the adapter changes no weight" in one(findings, "loading", ERROR).text


def test_an_adapter_that_does_no_more_than_rounding(tmp_path: Path) -> None:
    folder = adapter("llama", tmp_path, ["q_proj"])
    alter(folder, lambda t: {k: v * (1e-6 if "lora_B" in k else 1) for k, v in t.items()}, "adapter_model")
    assert "no more than rounding" in one(examined(folder), "adapter", ERROR).text


def test_the_last_column_of_a_right_padded_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_toy("llama", tmp_path / "llama")
    right = LoadSettings(pooling="last_token", padding_side="right", append_eos=True)
    warned = one(examined(folder, right), "last token", WARNING)
    assert "tools that pool the last column of a batch pool padding" in warned.text
    assert (
        only(examined(folder, LoadSettings(pooling="last_token", padding_side="left", append_eos=True)), WARNING) == []
    )
    monkeypatch.setitem(pooling.POOLINGS, "last_token", lambda hidden, mask: hidden[:, -1])
    findings = examined(folder, right)
    assert {f.check for f in only(findings, ERROR)} >= {"batch", "padding_right"}


def test_a_mean_over_padding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pooling.POOLINGS, "mean", lambda hidden, mask: hidden.mean(dim=1))
    findings = examined(save_toy("bert", tmp_path / "bert"))
    assert {f.check for f in only(findings, ERROR)} >= {"batch", "padding_right", "padding_left"}


def test_a_backbone_given_twice(tmp_path: Path) -> None:
    folder = save_toy("bert", tmp_path / "bert")
    assert "both are the same model" in one(pair(folder, folder), "weights", ERROR).text
    other = alter(save_toy("bert", tmp_path / "other"), lambda t: {k: v + 0.01 * ("word" in k) for k, v in t.items()})
    findings = pair(folder, other)
    assert findings.sound
    assert one(findings, "weights", PASSED).text == "1 of 39 tensors differ"


def test_cls_pooling_on_a_decoder(tmp_path: Path) -> None:
    findings = examined(save_toy("llama", tmp_path / "llama"), LoadSettings(pooling="cls"))
    assert "whose first token attends only to itself" in one(findings, "pooling", ERROR).text
    assert "cannot tell the texts apart" in one(findings, "different texts", ERROR).text


def test_a_missing_eos(tmp_path: Path) -> None:
    folder = save_toy("llama", tmp_path / "llama")
    statements = [f.text for f in only(examined(folder, LAST), WARNING)]
    assert any(text.startswith("texts do not end with EOS ('where is the oldest") for text in statements)
    ended = examined(folder, LoadSettings(pooling="last_token", append_eos=True))
    assert not any("do not end with EOS" in f.text for f in only(ended, WARNING))


def test_prompts_that_the_card_declares(tmp_path: Path) -> None:
    folder = save_toy("bert", tmp_path / "bert")
    assert only(examined(folder), WARNING) == []
    (folder / "README.md").write_text('# E5\n\nEach input text should start with "query: " or "passage: ".\n')
    warned = one(examined(folder), "prompts", WARNING)
    assert 'should start with "query: "' in warned.text
    prompted = LoadSettings(pooling="mean", query_prompt="query: ", passage_prompt="passage: ")
    assert only(examined(folder, prompted), WARNING) == []


def test_prompts_that_the_folder_declares_and_nobody_uses(tmp_path: Path) -> None:
    base = save_toy("bert", tmp_path / "bert")
    with quiet():
        transformer = Transformer(str(base))
        model = SentenceTransformer(
            modules=[transformer, Pooling(transformer.get_embedding_dimension(), "mean")], device="cpu",
            prompts={"retrieval": "find: "},
        )  # fmt: skip
        model.save(str(tmp_path / "st"))
    findings = examined(tmp_path / "st", LoadSettings())
    assert "retrieval 'find: '" in one(findings, "prompts", WARNING).text
    assert one(findings, "library", PASSED)
    given = examined(tmp_path / "st", LoadSettings(pooling="cls"))
    assert "not compared with SentenceTransformer.encode" in one(given, "library", NOTE).text


def test_a_tanh_pooler_that_was_never_trained(tmp_path: Path) -> None:
    folder = save_toy("bert", tmp_path / "bert")
    pooler = LoadSettings(pooling="pooler")
    assert only(examined(folder, pooler), WARNING) == []
    alter(folder, lambda t: t | {"pooler.dense.bias": torch.zeros(16)})
    assert "never trained" in one(examined(folder, pooler), "pooling", WARNING).text


def test_a_tokenizer_that_grew_and_one_that_is_another(tmp_path: Path) -> None:
    before, grown, moved = (save_toy("bert", tmp_path / name, seed) for seed, name in enumerate(("a", "b", "c")))
    tokens = tokenizer("bert")
    tokens.add_tokens(["<query>"])
    tokens.save_pretrained(grown)
    rows = len(tokens)
    alter(grown, lambda t: t | {"embeddings.word_embeddings.weight": torch.randn(rows, 16)})
    set_json(grown / "config.json", vocab_size=rows)
    findings = pair(before, grown)
    assert "grew by 1 tokens: '<query>'" in one(findings, "tokenizers", NOTE).text
    assert "embeddings.word_embeddings.weight" in one(findings, "weights", WARNING).text
    content = json.loads((moved / "tokenizer.json").read_text())
    words = content["model"]["vocab"]
    first, last = list(words)[-2:]
    words[first], words[last] = words[last], words[first]
    (moved / "tokenizer.json").write_text(json.dumps(content))
    assert "another id in the retriever" in one(pair(before, moved), "tokenizers", ERROR).text


def test_two_architectures(tmp_path: Path) -> None:
    findings = pair(save_toy("bert", tmp_path / "bert"), save_toy("roberta", tmp_path / "roberta"))
    assert "one is a bert of 2 blocks, the other a roberta of 2" in one(findings, "architecture", ERROR).text


def test_recipes_that_differ(tmp_path: Path) -> None:
    folders = [save_toy("bert", tmp_path / f"{seed}", seed) for seed in (0, 1)]
    models = {
        role: ModelSettings(source=str(folder), load=LoadSettings(pooling=how))
        for role, folder, how in zip(("before", "after"), folders, ("mean", "cls"), strict=True)
    }
    diagnosis = diagnose(models)
    assert diagnosis.sound
    assert "passage pooling ('mean' before, 'cls' after)" in one(diagnosis, "recipes", WARNING).text


def test_an_ending_by_the_recipe_and_one_by_the_tokenizer_are_one(tmp_path: Path) -> None:
    """As of a backbone whose recipe appends EOS and the retriever whose saved tokenizer does."""
    before, after = (save_toy("llama", tmp_path / f"{seed}", seed) for seed in (0, 1))
    tokens = tokenizer("llama")
    end_with_eos(tokens)
    tokens.save_pretrained(after)
    ends = {"before": True, "after": None}
    models = {
        role: ModelSettings(source=str(folder), load=LoadSettings(pooling="last_token", append_eos=ends[role]))
        for role, folder in (("before", before), ("after", after))
    }
    diagnosis = diagnose(models)
    assert one(diagnosis, "tokenizers", PASSED)
    assert one(diagnosis, "recipes", PASSED)
    without = diagnose(models | {"before": replace(models["before"], load=LoadSettings(pooling="last_token"))})
    assert "texts are normalised, split or ended differently" in one(without, "tokenizers", WARNING).text


def test_a_pair_whose_pooling_nobody_says_is_looked_at_all_the_same(tmp_path: Path) -> None:
    before, after = (save_toy("bert", tmp_path / f"{seed}", seed) for seed in (0, 1))
    findings = pair(before, after, LoadSettings())
    assert not findings.sound
    errors = only(findings, ERROR)
    assert [(error.check, "checks use mean pooling" in error.text) for error in errors] == [("pooling", True)] * 2
    assert one(findings, "weights", PASSED)
    assert one(findings, "tokenizers", PASSED)
    assert "the pooling is not known" in one(findings, "recipes", NOTE).text
    assert "pooling          'unknown'               nobody" in doctor_words(findings)
    assert doctor_document(findings)["models"]["after"]["towers"]["passage"]["recipe"]["pooling"] == "unknown"


def test_a_pooling_that_doctor_tries_is_not_called_the_users(tmp_path: Path) -> None:
    decoder = str(save_toy("llama", tmp_path / "decoder"))
    given = diagnose({"model": ModelSettings(source=decoder, load=LoadSettings(pooling="mean"))})
    assert "you chose mean pooling" in one(given, "pooling", NOTE).text
    tried = diagnose({"model": ModelSettings(source=decoder)})
    assert [finding.severity for _, finding in tried.findings if finding.check == "pooling"] == [ERROR]


def test_a_backbone_without_pooling_and_a_retriever_with_it(tmp_path: Path) -> None:
    before, after = (save_toy("bert", tmp_path / f"{seed}", seed) for seed in (0, 1))
    models = {
        "before": ModelSettings(source=str(before)),
        "after": ModelSettings(source=str(after), load=LoadSettings(pooling="cls")),
    }
    diagnosis = diagnose(models)
    assert list(diagnosis.models) == ["before", "after"]
    (error,) = only(diagnosis, ERROR)
    assert "does not record its pooling" in error.text
    assert "passage pooling ('unknown' before, 'cls' after)" in one(diagnosis, "recipes", WARNING).text
    other = ModelSettings(source=str(save_toy("llama", tmp_path / "other")))
    wrong = only(diagnose({**models, "before": other}), ERROR)
    assert [error.check for error in wrong] == ["pooling", "architecture", "tokenizers"], "none of a pooling"


def test_a_tower_without_pooling_beside_one_that_says_it_is_not_tried(tmp_path: Path) -> None:
    towers = {tower: str(save_toy("bert", tmp_path / tower)) for tower in ("query", "passage")}
    diagnosis = diagnose({"model": ModelSettings(**towers)})
    assert diagnosis.models == {}
    assert "tried" not in one(diagnosis, "pooling", ERROR).text


def test_values_that_are_no_numbers(tmp_path: Path) -> None:
    folder = alter(save_toy("llama", tmp_path / "m"), lambda t: t | {"norm.weight": t["norm.weight"] * float("inf")})
    assert "not finite" in one(examined(folder), "numbers", ERROR).text


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_broken_weight_inside_a_block_is_named_as_that(value: float, tmp_path: Path) -> None:
    """NaN equals nothing, not even itself: neither the layout nor the loading of the checkpoint is at fault."""
    name = "layers.1.mlp.up_proj.weight"
    folder = alter(save_toy("llama", tmp_path / "m"), lambda t: t | {name: torch.full_like(t[name], value)})
    error = one(examined(folder), "loading", ERROR)
    said, fix = {
        True: ("these weights contain NaN", "another copy"),
        False: ("the hidden states of the layers [2] contain NaN values", "float32"),
    }[value != value]
    assert error.text.startswith(said)
    assert fix in error.fix


@pytest.mark.parametrize(
    ("family", "name"), [("bert", "embeddings.position_embeddings.weight"), ("llama", "embed_tokens.weight")]
)
def test_a_weight_that_is_no_number_is_refused_although_no_proof_reads_it(
    family: str, name: str, tmp_path: Path
) -> None:
    def spoiled(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        broken = tensors[name].clone()
        broken[-1] = float("nan")
        return tensors | {name: broken}

    folder = alter(save_toy(family, tmp_path / "m"), spoiled)
    error = one(examined(folder), "loading", ERROR)
    assert "these weights contain NaN" in error.text
    assert name in error.text


def test_towers_of_their_own_are_told_apart(tmp_path: Path) -> None:
    settings = ModelSettings(
        query=str(save_toy("dpr-question", tmp_path / "q")), passage=str(save_toy("dpr-context", tmp_path / "p"))
    )
    diagnosis = diagnose({"model": settings})
    assert diagnosis.sound
    whom = {who for who, finding in diagnosis.findings if finding.severity == WARNING}
    assert whom == {"model, passage tower"}


def test_a_dpr_pair_and_its_backbone_are_a_pair(tmp_path: Path) -> None:
    """Another family by name, compared by another similarity: neither is a fault."""
    before = save_toy("bert", tmp_path / "bert")
    alter(before, lambda t: {k: v for k, v in t.items() if "pooler" not in k})
    after = ModelSettings(
        query=str(save_toy("dpr-question", tmp_path / "q", 1)), passage=str(save_toy("dpr-context", tmp_path / "p", 2))
    )
    diagnosis = diagnose(
        {"before": ModelSettings(source=str(before), load=LoadSettings(pooling="cls")), "after": after}
    )
    assert diagnosis.sound
    assert one(diagnosis, "architecture", PASSED).text == "both dpr, 2 blocks of 16"
    assert one(diagnosis, "recipes", PASSED)


def test_a_tower_that_was_left_alone_is_a_note(tmp_path: Path) -> None:
    """As of a retriever whose query tower alone was tuned."""
    base, tuned = (save_toy("bert", tmp_path / f"{seed}", seed) for seed in (0, 1))
    models = {
        "before": ModelSettings(source=str(base), load=MEAN),
        "after": ModelSettings(query=str(tuned), passage=str(base), load=MEAN),
    }
    diagnosis = diagnose(models)
    assert diagnosis.sound
    assert "in the passage tower" in one(diagnosis, "weights", NOTE).text


def test_an_adapter_whose_base_is_given(tmp_path: Path) -> None:
    folder = adapter("llama", tmp_path, ["q_proj"])
    set_json(folder / "adapter_config.json", base_model_name_or_path="gone.gguf")
    findings = examined(folder, LoadSettings(pooling="mean", base=str(tmp_path / "base")))
    assert one(findings, "adapter", PASSED)
    assert not examined(folder).sound


def test_prompts_of_queries_alone_are_no_fault(tmp_path: Path) -> None:
    base = save_toy("bert", tmp_path / "bert")
    with quiet():
        transformer = Transformer(str(base))
        pooled = Pooling(transformer.get_embedding_dimension(), "mean")
        prompts = {"query": "find: ", "document": ""}
        SentenceTransformer(modules=[transformer, pooled], device="cpu", prompts=prompts).save(str(tmp_path / "st"))
    assert only(examined(tmp_path / "st", LoadSettings()), WARNING) == []


def test_what_it_says(tmp_path: Path) -> None:
    folder = save_toy("llama", tmp_path / "llama")
    findings = examined(folder, LoadSettings(pooling="cls"))
    said, document = doctor_words(findings), doctor_document(findings)
    assert max(map(len, said.splitlines())) <= 100
    assert "pooling          'cls'                   user" in said
    assert said.splitlines()[-1].startswith("NOT SOUND: 2 errors, 1 warning,")
    assert document["sound"] is False
    assert document["findings"][0]["severity"] == ERROR, "worst first"
    assert json.loads(json.dumps(document)) == document
