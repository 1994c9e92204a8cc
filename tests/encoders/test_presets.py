"""Every preset loads a tiny model in its published layout, and gives the vectors of the library that published it."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from sentence_transformers import SentenceTransformer
from torch import Tensor
from transformers import AutoModel, AutoTokenizer, DPRContextEncoder, DPRQuestionEncoder

from published_layouts import OTHERS, ST_LAYOUTS, publish, write
from retroscope.encoders import loading
from retroscope.encoders.checkpoints.folders import quiet
from retroscope.encoders.encode import encode_layers
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.encoders.presets.preset import FIELDS, Preset
from retroscope.encoders.presets.table import PRESETS, backbone_of, preset_of
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import EncoderError, SettingsError
from toys import TEXTS

Reference = Callable[[dict[str, Path], Preset], tuple[Tensor, Tensor]]
LONG = [*TEXTS, " ".join(TEXTS) * 2]


def load(folders: dict[str, Path], name: str) -> Retriever:
    if folders["query"] == folders["passage"]:
        return load_retriever(folders["query"], preset=name)
    return load_retriever(query=folders["query"], passage=folders["passage"], preset=name)


def by_sentence_transformers(folders: dict[str, Path], preset: Preset) -> tuple[Tensor, Tensor]:
    with quiet():
        model = SentenceTransformer(str(folders["query"]), device="cpu")
    query, passage = (
        model.encode(list(LONG), prompt=prompt, convert_to_tensor=True)
        for prompt in (preset.query_prompt, preset.passage_prompt)
    )
    return query, passage


def tokens(folder: Path, texts: Sequence[str]) -> list[list[int]]:
    return AutoTokenizer.from_pretrained(folder)(list(texts))["input_ids"]


@torch.no_grad()
def by_dpr(folders: dict[str, Path], preset: Preset) -> tuple[Tensor, Tensor]:
    classes = {"query": DPRQuestionEncoder, "passage": DPRContextEncoder}
    made = {}
    for tower, cls in classes.items():
        with quiet():
            model = cls.from_pretrained(folders[tower]).eval()
        made[tower] = torch.cat([model(torch.tensor([row])).pooler_output for row in tokens(folders[tower], LONG)])
    return made["query"], made["passage"]


@torch.no_grad()
def by_mean(folders: dict[str, Path], preset: Preset) -> tuple[Tensor, Tensor]:
    with quiet():
        model = AutoModel.from_pretrained(folders["query"]).eval()
    vectors = torch.cat(
        [model(torch.tensor([row])).last_hidden_state.mean(1) for row in tokens(folders["query"], LONG)]
    )
    return vectors, vectors


@torch.no_grad()
def by_peft(folders: dict[str, Path], preset: Preset) -> tuple[Tensor, Tensor]:
    """RepLLaMA's own usage: prompt, text, EOS; the last token's state."""
    base = folders["query"].parent / "base"
    with quiet():
        model = PeftModel.from_pretrained(AutoModel.from_pretrained(base), folders["query"]).merge_and_unload().eval()
    eos = AutoTokenizer.from_pretrained(base).eos_token_id
    made = []
    for prompt in (preset.query_prompt, preset.passage_prompt):
        rows = [[*row, eos] for row in tokens(base, [prompt + text for text in LONG])]
        made.append(torch.cat([model(torch.tensor([row])).last_hidden_state[:, -1] for row in rows]))
    return made[0], made[1]


@torch.no_grad()
def by_llm2vec(folders: dict[str, Path], preset: Preset) -> tuple[Tensor, Tensor]:
    """Two adapters on top of one another, a full mask, and the mean of the text's own tokens."""
    base = folders["query"].parent / "base"
    with quiet():
        model = AutoModel.from_pretrained(base, attn_implementation="eager")
        for adapter in ("mntp", "supervised"):
            model = PeftModel.from_pretrained(model, folders["query"].parent / adapter).merge_and_unload().eval()
    made = []
    for prompt in (preset.query_prompt, preset.passage_prompt):
        skipped = len(tokens(base, [prompt])[0]) if prompt else 0
        rows = tokens(base, [prompt + text for text in LONG])
        states = [
            model(torch.tensor([row]), attention_mask=torch.zeros(1, 1, len(row), len(row))).last_hidden_state[0]
            for row in rows
        ]
        made.append(torch.stack([state[skipped:].mean(0) for state in states]))
    return made[0], made[1]


REFERENCES: dict[str, Reference] = {
    **dict.fromkeys(ST_LAYOUTS, by_sentence_transformers),
    "dpr": by_dpr,
    "contriever": by_mean,
    "repllama": by_peft,
    "llm2vec": by_llm2vec,
}


@pytest.mark.parametrize("name", PRESETS)
def test_the_published_layout_gives_the_librarys_vectors(name: str, tmp_path: Path) -> None:
    folders = publish(name, tmp_path / name)
    retriever, preset = load(folders, name), PRESETS[name]
    expected = REFERENCES[name](folders, preset)
    for tower, theirs in zip(("query", "passage"), expected, strict=True):
        ours = encode_layers(retriever.tower(tower), LONG).final
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5, msg=f"{name}, {tower}")


@pytest.mark.parametrize("name", PRESETS)
def test_the_recipe_is_the_presets_whoever_says_it(name: str, tmp_path: Path) -> None:
    retriever, preset = load(publish(name, tmp_path / name), name), PRESETS[name]
    query, passage = retriever.query.recipe, retriever.passage.recipe
    assert (query.prompt, passage.prompt) == (preset.query_prompt, preset.passage_prompt)
    assert retriever.similarity == preset.similarity
    for field in ("pooling", "append_eos", "pool_prompt", "max_length", "head"):
        stated = preset.stated.get(field)
        assert stated is None or getattr(passage, field) == stated, field
    said = {source.split(":")[0] for source in passage.sources.values()}
    assert "user" not in said


def test_every_preset_has_a_layout_and_every_field_a_source() -> None:
    assert {*ST_LAYOUTS, *OTHERS} == set(PRESETS)
    for name, preset in PRESETS.items():
        assert preset.sources["recipe"], name
        assert all(preset.source(field) for field in preset.stated)
        assert not set(preset.sources) - {*FIELDS, "recipe", "backbone"}, name
        assert any(preset.models.values()) == ("backbone" in preset.sources), name
    models = [model for preset in PRESETS.values() for model in preset.models]
    assert len(models) == len(set(models))


def test_a_hub_name_finds_its_preset_and_a_folder_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = publish("contriever", tmp_path / "contriever")["query"]
    monkeypatch.setattr(loading, "locate", lambda source, revision=None: folder)
    found = load_retriever("facebook/contriever")
    assert (found.query.recipe.pooling, found.similarity) == ("mean", "dot")
    assert found.query.recipe.sources["pooling"] == "preset contriever: arXiv 2112.09118, section 3"
    with pytest.raises(EncoderError, match="does not record its pooling"):
        load_retriever(folder)
    assert (preset_of("facebook/contriever"), backbone_of("facebook/contriever")) == (
        "contriever", "google-bert/bert-base-uncased",
    )  # fmt: skip
    assert preset_of("nobody/knows") is None


def test_the_user_wins_over_a_preset(tmp_path: Path) -> None:
    folder = publish("e5", tmp_path / "e5")["query"]
    retriever = load_retriever(folder, preset="e5", query_prompt="q: ", similarity="dot")
    assert (retriever.query.recipe.prompt, retriever.passage.recipe.prompt) == ("q: ", "passage: ")
    assert (retriever.similarity, retriever.query.recipe.sources["prompt"]) == ("dot", "user")


@pytest.mark.parametrize(
    ("file", "changes", "expected"),
    [
        ("1_Pooling/config.json", {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False},
         r"pooling: 'cls' \(checkpoint: 1_Pooling/config.json\), preset: 'mean'"),
        ("sentence_bert_config.json", {"max_seq_length": 128}, "max_length: 128"),
        ("config_sentence_transformers.json", {"similarity_fn_name": "dot"}, "similarity: 'dot'"),
        ("config_sentence_transformers.json", {"prompts": {"query": "find: "}}, "query_prompt: 'find: '"),
    ],
)  # fmt: skip
def test_a_contradiction_is_an_error(file: str, changes: dict[str, object], expected: str, tmp_path: Path) -> None:
    folder = publish("e5", tmp_path / "e5")["query"]
    path = folder / file
    write(path, {**json.loads(path.read_text()), **changes})
    with pytest.raises(EncoderError, match=f"not what preset 'e5' describes:(.|\n)*{expected}"):
        load_retriever(folder, preset="e5")


def test_a_lost_module_and_another_family_are_contradictions(tmp_path: Path) -> None:
    folder = publish("gtr-t5", tmp_path / "gtr")["query"]
    rows = json.loads((folder / "modules.json").read_text())
    write(folder / "modules.json", [row for row in rows if not row["type"].endswith("Dense")])
    with pytest.raises(EncoderError, match=r"head: normalize in modules\.json, dense, normalize in the preset"):
        load_retriever(folder, preset="gtr-t5")
    with pytest.raises(EncoderError, match=r"family: t5 in the checkpoint, bert in the preset"):
        load_retriever(folder, preset="e5")


def test_empty_prompts_that_a_library_wrote_are_filled(tmp_path: Path) -> None:
    folder = publish("e5", tmp_path / "e5")["query"]
    path = folder / "config_sentence_transformers.json"
    write(path, {**json.loads(path.read_text()), "prompts": {"query": "", "document": ""}})
    assert load_retriever(folder, preset="e5").query.recipe.prompt == "query: "


def test_an_unknown_preset_is_an_error() -> None:
    with pytest.raises(SettingsError, match="did you mean 'contriever'"):
        LoadSettings(preset="contreiver")
