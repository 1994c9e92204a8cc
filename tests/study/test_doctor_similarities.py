"""What the doctor says of recipes given again, of bare adapters, and of similarities."""

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Router, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import AutoModel

from retroscope.encoders.checkpoints.folders import quiet
from retroscope.encoders.checks.finding import ERROR, PASSED, WARNING, Finding
from retroscope.encoders.checks.library import library_test
from retroscope.encoders.checks.unrelated import NARROW, RISE, UNRELATED, unrelated_cosines
from retroscope.encoders.encode import encode_layers
from retroscope.encoders.loading import load_retriever
from retroscope.encoders.settings import LoadSettings
from retroscope.inputs.settings import ModelSettings
from retroscope.study.doctor.diagnosis import Diagnosis, diagnose
from toys import TEXTS, save_toy

OWN = {"prompts": {"query": "query: ", "document": "passage: "}, "similarity_fn_name": "dot"}


@pytest.fixture(scope="module")
def st_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence-transformers folder of a BERT: mean pooling, 16 tokens, prompts, dot, a head."""
    home = tmp_path_factory.mktemp("st")
    with quiet():
        body = Transformer(str(save_toy("bert", home / "toy")), max_seq_length=16)
        model = SentenceTransformer(modules=[body, Pooling(16, "mean"), Dense(16, 8)], device="cpu", **OWN)
        model.save(str(home / "st"))
    return home / "st"


@pytest.fixture(scope="module")
def bare_adapter(st_folder: Path) -> Path:
    """A LoRA adapter whose base is that folder; nothing beside it says how it is pooled."""
    torch.manual_seed(0)
    with quiet():
        model = get_peft_model(AutoModel.from_pretrained(st_folder), LoraConfig(target_modules=["query"], r=2))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(0, 0.1)
    folder = st_folder.parent / "adapter"
    model.save_pretrained(folder)
    return folder


GIVEN = [
    {"pooling": "mean"},
    {"max_length": 16},
    {"query_prompt": "query: ", "passage_prompt": "passage: "},
    {"padding_side": "right"},
    {"append_eos": False},
    {"similarity": "dot"},
    {"pooling": "mean", "max_length": 16},
]


@pytest.mark.parametrize("given", GIVEN, ids=str)
def test_a_field_given_as_the_checkpoint_has_it_leaves_the_comparison_with_the_library_on(
    st_folder: Path, given: dict
) -> None:
    plain, said = load_retriever(st_folder), load_retriever(st_folder, **given)
    assert said.query.recipe == plain.query.recipe
    for encoder in (plain.passage, said.passage):
        test = library_test(encoder)
        assert test is not None
        assert test.passed


@pytest.mark.parametrize("given", [{"pooling": "cls"}, {"max_length": 8}, {"query_prompt": "", "passage_prompt": ""}])
def test_a_field_given_otherwise_switches_it_off(st_folder: Path, given: dict) -> None:
    assert library_test(load_retriever(st_folder, **given).passage) is None


def test_a_length_given_as_the_tokenizer_has_it_is_the_checkpoints(tmp_path: Path) -> None:
    folder = save_toy("bert", tmp_path / "toy")
    own = load_retriever(folder, pooling="mean").query.recipe
    again = load_retriever(folder, pooling="mean", max_length=own.max_length).query.recipe
    assert again == own
    assert load_retriever(folder, pooling="mean", max_length=9).query.recipe.sources["max_length"] == "user"


def test_a_bare_adapter_inherits_the_recipe_of_its_base(st_folder: Path, bare_adapter: Path) -> None:
    adapted, base = load_retriever(bare_adapter), load_retriever(st_folder)
    for tower in ("query", "passage"):
        assert adapted.tower(tower).recipe.identity() == base.tower(tower).recipe.identity()
    assert (adapted.query.recipe.max_length, adapted.query.recipe.prompt, adapted.similarity) == (16, "query: ", "dot")
    assert adapted.query.recipe.sources["pooling"] == "checkpoint: 1_Pooling/config.json, of the adapter's base"
    diagnosis = diagnose({"model": ModelSettings(source=str(bare_adapter))})
    assert diagnosis.sound
    assert load_retriever(bare_adapter, pooling="cls").query.recipe.pooling == "cls"


def test_it_gives_the_vectors_that_the_library_gives_with_the_adapter(st_folder: Path, bare_adapter: Path) -> None:
    with quiet():
        library = SentenceTransformer(str(st_folder), device="cpu")
        library.load_adapter(str(bare_adapter))
    expected = library.encode(list(TEXTS), prompt="passage: ", convert_to_tensor=True)
    encoded = encode_layers(load_retriever(bare_adapter).passage, TEXTS).final
    torch.testing.assert_close(encoded, expected, atol=1e-5, rtol=1e-5)
    plain = encode_layers(load_retriever(st_folder).passage, TEXTS).final
    assert float((plain - expected).norm()) > 1e-3  # the control: the adapter changes them


@pytest.mark.parametrize("chosen", ["cls", "max", "mean", None])
def test_a_pooling_other_than_the_recorded_one_is_a_warning(st_folder: Path, chosen: str | None) -> None:
    load = LoadSettings(pooling=chosen)
    findings = diagnose({"model": ModelSettings(source=str(st_folder), load=load)}).findings
    said = [f.text for _, f in findings if f.severity == WARNING and "the checkpoint records mean" in f.text]
    assert len(said) == (chosen in ("cls", "max"))
    if said:
        assert said[0].startswith(f"texts are pooled by {chosen}, as you chose, but the checkpoint records mean (check")


def test_the_pooling_of_each_route_is_compared_with_the_chosen_one(tmp_path: Path) -> None:
    with quiet():
        body = [Transformer(str(save_toy("bert", tmp_path / str(seed), seed=seed))) for seed in (0, 1)]
        routes = ([body[0], Pooling(16, "cls")], [body[1], Pooling(16, "mean")])
        SentenceTransformer(modules=[Router.for_query_document(*routes)], device="cpu").save(str(tmp_path / "st"))
    for chosen, expected in {
        "max": {"query tower": "records cls", "passage tower": "records mean"},
        "mean": {"query tower": "records cls"},
        "cls": {"passage tower": "records mean"},
    }.items():
        model = ModelSettings(source=str(tmp_path / "st"), load=LoadSettings(pooling=chosen))
        warned = {
            who: f.text for who, f in diagnose({"model": model}).findings if f.text.startswith("texts are pooled")
        }
        assert warned.keys() == {f"model, {tower}" for tower in expected}
        assert all(records in warned[f"model, {tower}"] for tower, records in expected.items())


def of_check(diagnosis: Diagnosis, who: str) -> Finding:
    (finding,) = [f for w, f in diagnosis.findings if w == who and f.check == "similarities"]
    return finding


def drawn_together(folder: Path, target: Path, share: float) -> Path:
    """A copy of a sentence-transformers folder whose head adds one and the same vector to every text's."""
    with quiet():
        model = SentenceTransformer(str(folder), device="cpu")
        head = Dense(8, 8, activation_function=torch.nn.Identity())
        with torch.no_grad():
            head.linear.weight.copy_(torch.eye(8))
            head.linear.bias.fill_(share)
        SentenceTransformer(modules=[*model, head, Normalize()], device="cpu").save(str(target))
    return target


def test_similarities_that_rose_and_a_narrow_space_are_warnings(st_folder: Path, tmp_path: Path) -> None:
    narrow = drawn_together(st_folder, tmp_path / "narrow", 50.0)
    cosines = {p: unrelated_cosines(load_retriever(p).passage) for p in (st_folder, narrow)}
    assert cosines[narrow].min() > NARROW
    alone = of_check(diagnose({"model": ModelSettings(source=str(narrow))}), "model")
    assert alone.severity == WARNING
    assert "all above 0.9" in alone.text
    centre = drawn_together(st_folder, tmp_path / "centre", 0.0)  # the same vectors
    for before, after, risen in ((centre, narrow, True), (narrow, centre, False), (centre, centre, False)):
        means = [float(unrelated_cosines(load_retriever(p).passage).mean()) for p in (before, after)]
        load = LoadSettings(similarity="cosine")
        pair = {r: ModelSettings(source=str(p), load=load) for r, p in (("before", before), ("after", after))}
        findings = of_check(diagnose(pair), "pair")
        assert (means[1] - means[0] > RISE) is (findings.severity == WARNING)
        if means[0] < NARROW - RISE:
            assert findings.severity == (WARNING if risen else PASSED)


def test_the_sentences_are_distinct_and_share_no_content() -> None:
    words = [{w.strip(".,") for w in text.lower().split() if len(w) > 4} for text in UNRELATED]
    assert all(not (one & two) for i, one in enumerate(words) for two in words[:i])
    assert ERROR != WARNING


@pytest.mark.real
def test_a_good_retriever_keeps_them_apart(minilm: Path) -> None:
    cosines = unrelated_cosines(load_retriever(minilm).passage)
    assert float(cosines.max()) < 0.3
    assert abs(float(cosines.mean())) < 0.1
