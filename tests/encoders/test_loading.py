"""Every recipe field is settled and says by whom; what only a user can know is asked for."""

import json
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from transformers import DPRContextEncoder, DPRQuestionEncoder
from transformers.utils import logging as transformers_logging

from retroscope.encoders.encode import encode_layers
from retroscope.encoders.loading import load_encoder, load_retriever
from retroscope.encoders.settings import LoadOptions, LoadSettings
from retroscope.errors import EncoderError, SettingsError
from toys import TEXTS, TOYS, save_toy, tokenizer


def edit_json(file: Path, **changes: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return save_toy("bert", tmp_path / "bert")


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return save_toy("llama", tmp_path / "llama")


@pytest.mark.parametrize("name", TOYS)
def test_every_family_gives_finite_vectors_that_differ(name: str, tmp_path: Path) -> None:
    encoder = load_encoder(save_toy(name, tmp_path / name), LoadSettings(pooling="mean"))
    vectors = encode_layers(encoder, TEXTS)
    assert vectors.layers.shape == (len(TEXTS), 3, 16)
    assert vectors.layers.isfinite().all()
    assert vectors.final.isfinite().all()
    assert torch.pdist(vectors.final).min() > 1e-3


def test_options_are_the_fields_of_the_settings() -> None:
    assert set(LoadOptions.__annotations__) == {field.name for field in fields(LoadSettings)}


def test_pooling_is_never_guessed(bert: Path, llama: Path) -> None:
    with pytest.raises(
        EncoderError, match=r"does not record its pooling(.|\n)*--pooling NAME(.|\n)*usually cls or mean"
    ):
        load_retriever(bert)
    with pytest.raises(EncoderError, match=r"does not record its pooling(.|\n)*usually last_token or mean"):
        load_retriever(llama)


def test_the_user_overrides_and_is_named(bert: Path) -> None:
    recipe = load_retriever(bert, pooling="cls", max_length=20, query_prompt="q: ", truncate_dim=4).query.recipe
    assert (recipe.pooling, recipe.max_length, recipe.prompt, recipe.truncate_dim) == ("cls", 20, "q: ", 4)
    assert {recipe.sources[f] for f in ("pooling", "max_length", "prompt", "truncate_dim")} == {"user"}
    assert recipe.sources["suffix"] == "default"


def test_every_field_says_where_it_came_from(bert: Path) -> None:
    recipe = load_retriever(bert, pooling="cls").query.recipe
    assert set(recipe.identity()) <= set(recipe.sources)


def test_one_source_is_one_encoder_unless_prompts_differ(bert: Path) -> None:
    same = load_retriever(bert, pooling="mean")
    assert same.query is same.passage
    prompted = load_retriever(bert, pooling="mean", query_prompt="query: ", passage_prompt="passage: ")
    assert prompted.query is not prompted.passage
    assert prompted.query.backbone is prompted.passage.backbone
    assert prompted.passage.recipe.prompt == "passage: "


def test_a_loaded_model_reads_as_what_it_is(bert: Path) -> None:
    same = load_retriever(bert, pooling="mean", max_length=32)
    shape = f"bert, {same.query.anatomy.n_blocks} blocks of width {same.query.backbone.config.hidden_size}"
    summary = f"{shape}, pooling mean, 32 tokens at most"
    assert repr(same.query) == f"<Encoder {same.query.name}: {summary}>"
    assert repr(same) == f"<Retriever {same.name}: {summary}; compared by cosine>"
    two = load_retriever(query=bert, passage=bert, pooling="cls", max_length=8, similarity="dot", query_prompt="q: ")
    towers = [f"{side} tower {two.tower(side).name}: {two.tower(side).summary}" for side in ("query", "passage")]
    assert repr(two) == f"<Retriever {two.name}: {'; '.join(towers)}; compared by dot>"
    assert repr(two) == str(two)


@pytest.mark.parametrize(
    ("name", "limit", "expected", "source"),
    [
        ("bert", 48, 48, "tokenizer"),
        ("bert", 512, 64, "config.json"),
        ("bert", 10**30, 64, "config.json"),
        ("roberta", 512, 64, "config.json"),  # 66 positions, of which padding takes 0 and 1
        ("gpt2", 512, 64, "config.json"),
        ("t5", 100, 100, "tokenizer"),
    ],
)
def test_length_is_what_tokenizer_and_positions_allow(
    name: str, limit: int, expected: int, source: str, tmp_path: Path
) -> None:
    folder = save_toy(name, tmp_path / name)
    edit_json(folder / "tokenizer_config.json", model_max_length=limit)
    recipe = load_retriever(folder, pooling="mean").query.recipe
    assert recipe.max_length == expected
    assert source in recipe.sources["max_length"]


def test_a_length_that_nobody_knows_must_be_given(tmp_path: Path) -> None:
    folder = save_toy("t5", tmp_path / "t5")
    edit_json(folder / "tokenizer_config.json", model_max_length=10**30)
    with pytest.raises(
        EncoderError, match=r"neither the tokenizer nor the configuration records(.|\n)*--max-length 512"
    ):
        load_retriever(folder, pooling="mean")
    assert load_retriever(folder, pooling="mean", max_length=99).query.recipe.max_length == 99


@pytest.mark.parametrize(("name", "positions"), [("bert", 64), ("roberta", 64)])
def test_more_tokens_than_positions_is_an_error_and_as_many_work(name: str, positions: int, tmp_path: Path) -> None:
    folder = save_toy(name, tmp_path / name)
    with pytest.raises(EncoderError, match=rf"max_length 65 \(source: user\) is more than the {positions} positions"):
        load_retriever(folder, pooling="mean", max_length=positions + 1)
    encoder = load_retriever(folder, pooling="mean", max_length=positions).query
    assert encode_layers(encoder, ["moon " * 200]).final.isfinite().all()


def test_a_tokenizer_without_padding_pads_with_eos_and_says_so(llama: Path) -> None:
    encoder = load_retriever(llama, pooling="mean").query
    assert encoder.tokenizer.pad_token_id == encoder.tokenizer.eos_token_id
    assert "no pad token, so eos_token (</s>) pads; it is masked" in encoder.recipe.sources["pad_token"]


def test_a_pad_token_that_the_embedding_does_not_hold_is_replaced(llama: Path) -> None:
    grown = tokenizer("llama")
    grown.add_special_tokens({"pad_token": "[PAD]"})
    grown.save_pretrained(llama)
    recipe = load_retriever(llama, pooling="mean").query.recipe
    assert "no row in the embedding, so eos_token (</s>) pads" in recipe.sources["pad_token"]


def test_padding_side_is_right_unless_the_tokenizer_says_left(bert: Path, tmp_path: Path) -> None:
    assert load_retriever(bert, pooling="mean").query.recipe.padding_side == "right"
    recipe = load_retriever(save_toy("qwen3", tmp_path / "q"), pooling="mean").query.recipe
    assert (recipe.padding_side, recipe.sources["padding_side"]) == ("left", "checkpoint: tokenizer_config.json")


def test_eos_can_be_appended_only_where_there_is_one(bert: Path, llama: Path) -> None:
    assert load_retriever(llama, pooling="last_token", append_eos=True).query.recipe.append_eos
    with pytest.raises(
        EncoderError,
        match=r"(?s)append_eos is on \(source: user\), but the tokenizer has no EOS token.*--no-append-eos",
    ):
        load_retriever(bert, pooling="mean", append_eos=True)


def test_a_decoder_made_to_look_both_ways_changes_and_an_encoder_cannot_look_back_only(bert: Path, llama: Path) -> None:
    plain = load_retriever(llama, pooling="mean").query
    both = load_retriever(llama, pooling="mean", causal=False).query
    assert (plain.anatomy.causal, both.anatomy.causal) == (True, False)
    assert not torch.allclose(encode_layers(plain, TEXTS).final, encode_layers(both, TEXTS).final, atol=1e-3)
    with pytest.raises(
        EncoderError, match=r"(?s)causal=True \(source: user\), but .* attention of this model is bidirectional"
    ):
        load_retriever(bert, pooling="mean", causal=True)


def test_dtypes_and_devices_are_taken_or_refused(bert: Path) -> None:
    assert load_retriever(bert, pooling="mean", dtype="float64").query.backbone.dtype == torch.float64
    with pytest.raises(SettingsError, match=r"unknown dtype 'float23'(.|\n)*did you mean 'float32'"):
        load_retriever(bert, pooling="mean", dtype="float23")
    with pytest.raises(SettingsError, match="unknown device 'gpu'"):
        load_retriever(bert, pooling="mean", device="gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device that the test wants absent")
def test_an_absent_device_is_an_error_and_no_fall_back(bert: Path) -> None:
    with pytest.raises(SettingsError, match=r"device 'cuda' is not available on this machine(.|\n)*use one of: cpu"):
        load_retriever(bert, pooling="mean", device="cuda")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"pooling": "meen"}, r"unknown pooling 'meen'(.|\n)*did you mean 'mean'"),
        ({"protocol": "ielab"}, r"unknown protocol 'ielab'(.|\n)*'ielab-2025'"),
        ({"similarity": "cos"}, r"unknown similarity 'cos'(.|\n)*cosine"),
        ({"padding_side": "centre"}, r"unknown padding_side 'centre'"),
        ({"max_length": 0}, r"max_length is 0(.|\n)*at least 1"),
        ({"max_lenght": 5}, r"unknown loading option 'max_lenght'(.|\n)*did you mean 'max_length'"),
    ],
)
def test_misspelt_options_are_errors(options: dict[str, object], expected: str, bert: Path) -> None:
    with pytest.raises(SettingsError, match=expected):
        load_retriever(bert, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("sources", [{}, {"query": "a"}, {"source": "a", "passage": "b"}])
def test_sources_are_one_or_a_pair(sources: dict[str, str]) -> None:
    with pytest.raises(
        SettingsError, match="from one source, or from a query source and a passage source; given: source="
    ):
        load_retriever(**sources)  # type: ignore[arg-type]


def test_sources_that_are_not_there_are_errors(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="there is no checkpoint at"):
        load_retriever(tmp_path / "nowhere", pooling="mean")
    with pytest.raises(EncoderError, match="cannot get checkpoint 'nobody/nothing' from the hub"):
        load_retriever("nobody/nothing", pooling="mean")


def test_a_misspelt_path_gets_the_nearest_name_beside_it(tmp_path: Path) -> None:
    (tmp_path / "contriever").mkdir()
    with pytest.raises(EncoderError, match=r"fix: did you mean '.*/contriever'\?"):
        load_retriever(tmp_path / "contreiver", pooling="mean")
    with pytest.raises(EncoderError, match=r"fix: give the path of a folder or of a .gguf file"):
        load_retriever(tmp_path / "bge", pooling="mean")


def test_an_unknown_family_is_refused_before_anything_is_loaded(bert: Path) -> None:
    edit_json(bert / "config.json", model_type="bart")
    with pytest.raises(
        EncoderError, match=r"family 'bart' is not in the table(.|\n)*an encoder-decoder(.|\n)*add-a-family"
    ):
        load_encoder(bert, LoadSettings(pooling="cls"))
    edit_json(bert / "config.json", model_type="bertt")
    with pytest.raises(
        EncoderError, match=r"unknown model family \(model_type\) 'bertt'(.|\n)*did you mean 'bert'(.|\n)*add-a-family"
    ):
        load_retriever(bert, pooling="mean")


def test_a_configuration_that_is_not_json_is_named(bert: Path) -> None:
    (bert / "config.json").write_text("{")
    with pytest.raises(EncoderError, match=r"config\.json: this JSON cannot be read"):
        load_retriever(bert, pooling="mean")


def test_a_checkpoint_without_a_tokenizer_is_an_error(bert: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (bert / name).unlink()
    with pytest.raises(EncoderError, match=r"there is no tokenizer(.|\n)*beside the weights"):
        load_retriever(bert, pooling="mean")


def test_a_tokenizer_of_another_model_is_an_error(bert: Path) -> None:
    other = tokenizer("bert")
    other.add_tokens(["neologism"])
    other.save_pretrained(bert)
    with pytest.raises(
        EncoderError, match=r"1 tokens without a row in the embedding matrix of \d+ rows, e\.g\. 'neologism'"
    ):
        load_retriever(bert, pooling="mean")


def test_loading_is_quiet_and_leaves_the_library_as_it_was(bert: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    load_retriever(bert, pooling="mean")
    assert capfd.readouterr() == ("", "")
    assert (transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()) == before


# DPR


def test_dpr_encoders_load_as_what_they_are(tmp_path: Path) -> None:
    question = save_toy("dpr-question", tmp_path / "question", seed=1)
    context = save_toy("dpr-context", tmp_path / "context", seed=2)
    retriever = load_retriever(query=question, passage=context)
    assert retriever.similarity == "dot"
    assert retriever.query.recipe.pooling == retriever.passage.recipe.pooling == "cls"
    assert retriever.passage.recipe.sources["pooling"] == "checkpoint: DPRContextEncoder"
    ids = torch.tensor([[2, 9, 8, 3]])
    for tower, cls, folder in (("query", DPRQuestionEncoder, question), ("passage", DPRContextEncoder, context)):
        theirs = cls.from_pretrained(folder).eval()(input_ids=ids).pooler_output
        ours = retriever.tower(tower).backbone(input_ids=ids).last_hidden_state[:, 0]
        assert torch.equal(ours, theirs)
    assert f"loaded as {DPRContextEncoder.__name__}" in retriever.passage.proof.notes


def test_a_dpr_projection_is_the_head(tmp_path: Path) -> None:
    folder = save_toy("dpr-projected", tmp_path / "context")
    encoder = load_encoder(folder)
    assert encoder.recipe.head == ("dense",)
    rows = encoder.tokenizer(list(TEXTS), padding=True, return_tensors="pt")
    with torch.no_grad():
        theirs = DPRContextEncoder.from_pretrained(folder).eval()(**rows).pooler_output
    torch.testing.assert_close(encode_layers(encoder, TEXTS).final, theirs, atol=1e-5, rtol=1e-5)


def test_a_context_encoder_that_claims_to_be_a_question_encoder_is_caught(tmp_path: Path) -> None:
    folder = save_toy("dpr-context", tmp_path / "context")
    edit_json(folder / "config.json", architectures=["DPRQuestionEncoder"])
    with pytest.raises(EncoderError, match="names DPRQuestionEncoder, but the tensors are of a DPRContextEncoder"):
        load_encoder(folder)
    edit_json(folder / "config.json", architectures=None)
    assert "loaded as DPRContextEncoder" in load_encoder(folder).proof.notes


def test_weights_that_are_no_dpr_encoder_are_refused(tmp_path: Path, bert: Path) -> None:
    edit_json(bert / "config.json", model_type="dpr", projection_dim=0)
    with pytest.raises(
        EncoderError, match=r"neither a DPR question encoder nor a DPR context encoder(.|\n)*embeddings"
    ):
        load_encoder(bert)


# The published protocol


def test_the_published_protocol_wraps_only_eos_pooling(bert: Path, llama: Path) -> None:
    cls = load_retriever(bert, pooling="cls", protocol="ielab-2025", max_length=32)
    assert cls.query is cls.passage
    assert (cls.query.recipe.pooling, cls.query.recipe.prompt, cls.query.recipe.pad_to_max) == ("cls", "", True)
    assert not cls.query.recipe.normalize_layers
    eos = load_retriever(llama, pooling="last_token", protocol="ielab-2025", max_length=32)
    recipe = eos.query.recipe
    assert (recipe.prompt, eos.passage.recipe.prompt, recipe.suffix) == ("query: ", "passage: ", " </s>")
    assert (recipe.pooling, recipe.normalize_layers, recipe.pad_to_max) == ("last_column", True, True)
    assert recipe.sources["suffix"] == "protocol ielab-2025"


def test_the_published_lengths_are_128_and_512(tmp_path: Path) -> None:
    folder = save_toy("t5", tmp_path / "t5")
    retriever = load_retriever(folder, pooling="mean", protocol="ielab-2025")
    assert (retriever.query.recipe.max_length, retriever.passage.recipe.max_length) == (128, 512)


@pytest.mark.shared
@pytest.mark.parametrize(("case", "pooling"), [("bert-cls", "cls"), ("bert-mean", "mean"), ("llama-eos", "last_token")])
def test_the_published_protocol_equals_the_published_code(case: str, pooling: str, shared: Path) -> None:
    np = pytest.importorskip("numpy")
    golden = shared / "golden" / case
    expected = torch.tensor(np.load(golden / "embeddings.npz")["layers"])
    texts = json.loads((golden / "neurons.json").read_text())["texts"]
    retriever = load_retriever(golden / "model", pooling=pooling, protocol="ielab-2025", max_length=128)
    torch.testing.assert_close(encode_layers(retriever.passage, texts).layers, expected, atol=2e-5, rtol=1e-4)


@pytest.mark.shared
def test_the_real_pair_loads_with_its_tokenizer(shared: Path) -> None:
    before, after = (
        load_retriever(shared / "models" / name, pooling="mean")
        for name in ("stories260K", "stories260K-retriever-squad")
    )
    assert before.query.proof.unexpected == ("lm_head.weight",)
    assert after.query.proof.unexpected == ()
    assert before.query.recipe.identity() == after.query.recipe.identity()
    assert before.query.layer_names == ("0", "1", "2", "3", "4", "5 (post-norm)")
    assert (before.query.recipe.max_length, after.similarity) == (2048, "cosine")
