"""Texts become the tokens, batches and vectors that the recipe says."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch import nn
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from retroscope.encoders.batches import batches_by_length, can_share
from retroscope.encoders.checks.selftest import tolerance
from retroscope.encoders.encode import encode_layers, encode_rows, final_vectors, model_inputs, pad, tokenise
from retroscope.encoders.encoder import Encoder, tokenizer_state
from retroscope.encoders.final_modules import Dense, Normalize
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.pooling import prompt_length
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import EncoderError
from toys import TEXTS, save_toy

LONG = "the river floods each spring " * 30


def but(encoder: Encoder, **changes: object) -> Encoder:
    """The encoder with another recipe."""
    return replace(encoder, recipe=encoder.recipe.but("test", **changes))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return load_encoder(save_toy("bert", tmp_path_factory.mktemp("bert")), LoadSettings(pooling="mean"))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return load_encoder(save_toy("llama", tmp_path_factory.mktemp("llama")), LoadSettings(pooling="last_token"))


def test_layers_are_counted_from_the_embedding_output(bert: Encoder) -> None:
    """Layer k against the model's blocks called one after another, by hand, on one text."""
    row = tokenise(bert, TEXTS[:1])[0]
    with torch.no_grad():
        hidden = bert.backbone.embeddings(torch.tensor([row]))
        expected = [hidden.mean(1)]
        for block in bert.backbone.encoder.layer:
            hidden = block(hidden)
            expected.append(hidden.mean(1))
    encoded = encode_layers(bert, TEXTS[:1])
    torch.testing.assert_close(encoded.layers[0], torch.cat(expected), atol=tolerance(bert), rtol=0)
    torch.testing.assert_close(encoded.final[0], encoded.layers[0, -1])


def test_a_text_is_dressed_and_cut_as_the_recipe_says(bert: Encoder) -> None:
    tokens = bert.tokenizer
    dressed = tokenise(but(bert, prompt="the moon ", suffix=" cat"), ["river"])[0]
    assert dressed == tokens("the moon river cat")["input_ids"]
    cut = tokenise(but(bert, max_length=9), [LONG])[0]
    assert len(cut) == 9
    assert (cut[0], cut[-1]) == (tokens.cls_token_id, tokens.sep_token_id)


def test_an_end_token_is_appended_once_also_to_a_cut_text(llama: Encoder) -> None:
    eos = llama.tokenizer.eos_token_id
    short, long = tokenise(but(llama, append_eos=True, max_length=10), ["red", LONG])
    assert short == [*tokenise(llama, ["red"])[0], eos]
    assert len(long) == 10
    assert long[-1] == eos
    assert long[:9] == tokenise(but(llama, max_length=9), [LONG])[0]
    assert tokenise(but(llama, append_eos=True, suffix="</s>"), ["red"])[0].count(eos) == 1


@pytest.mark.parametrize("side", ["right", "left"])
def test_padding_stands_where_the_recipe_says_and_is_masked(bert: Encoder, side: str) -> None:
    batch = pad(but(bert, padding_side=side), [[5, 6, 7], [8]])
    real = batch.ids[1] != bert.tokenizer.pad_token_id
    assert torch.equal(batch.mask[1], real)
    assert real.tolist() == ([True, False, False] if side == "right" else [False, False, True])
    assert pad(but(bert, pad_to_max=True, max_length=20), [[5], [6, 7]]).ids.shape == (2, 20)


def test_positions_are_given_only_where_padding_shifts_them(bert: Encoder, llama: Encoder) -> None:
    rows = [[5, 6, 7], [8]]
    assert "position_ids" not in model_inputs(bert, pad(bert, rows))
    shifted = model_inputs(bert, pad(bert, rows, side="left", extra=1))
    assert shifted["position_ids"].tolist() == [[0, 0, 1, 2], [0, 0, 0, 0]]
    assert "position_ids" not in model_inputs(llama, pad(llama, [[5, 6]], side="left"))


def test_a_prompt_can_be_left_out_of_the_pooling(bert: Encoder) -> None:
    prompted = but(bert, prompt="the moon ", pool_prompt=False)
    skipped = prompt_length(prompted)
    assert skipped == len(bert.tokenizer("the moon ")["input_ids"]) - 1
    with torch.no_grad():
        row = torch.tensor(tokenise(prompted, ["river"]))
        expected = bert.backbone(row).last_hidden_state[0, skipped:].mean(0)
    torch.testing.assert_close(encode_layers(prompted, ["river"]).final[0], expected, atol=tolerance(bert), rtol=0)
    assert prompt_length(bert) == 0


def test_a_prompt_that_leaves_no_room_is_an_error(bert: Encoder) -> None:
    with pytest.raises(
        EncoderError, match=r"the prompt fills the maximum length of 4 tokens, so no token (.|\n)*fix: raise max_length"
    ):
        encode_layers(but(bert, prompt=LONG, pool_prompt=False, max_length=4), ["river"])


def merging(folder: Path) -> Encoder:
    """A GPT-2 whose tokenizer merges a space and a following `a`, and which does not pool its prompt ": "."""
    save_toy("gpt2", folder)
    pieces = ["<unk>", "<|endoftext|>", ":", "\u0120", *"amon", "\u0120a"]  # U+0120 stands for a space
    bytewise = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, [("\u0120", "a")]))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.decoder = decoders.ByteLevel()
    special = {"unk_token": "<unk>", "eos_token": "<|endoftext|>"}
    PreTrainedTokenizerFast(tokenizer_object=bytewise, **special).save_pretrained(folder)
    return but(load_encoder(folder, LoadSettings(pooling="mean")), prompt=": ", pool_prompt=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", r"': a' has no token to pool, because (.|\n)*merges the prompt's last token(.|\n)*not end with a space"),
        ("", r"': ' has no token to pool, because the text is empty: all 2 tokens(.|\n)*\n  fix: remove this text$"),
    ],
)
def test_a_text_that_adds_no_token_to_the_prompt_is_an_error(text: str, expected: str, tmp_path: Path) -> None:
    encoder = merging(tmp_path)
    assert [len(row) for row in tokenise(encoder, ["moon", "ama"])] == [6, 4]
    with pytest.raises(EncoderError, match=expected):
        tokenise(encoder, ["moon", text])
    assert len(tokenise(but(encoder, pool_prompt=True), [text])[0]) == prompt_length(encoder) == 2
    assert len(tokenise(but(encoder, prompt=":"), ["a"])[0]) == 2, "the advice must help"


def test_a_text_without_tokens_is_an_error(tmp_path: Path) -> None:
    gpt2 = load_encoder(save_toy("gpt2", tmp_path), LoadSettings(pooling="mean"))
    with pytest.raises(EncoderError, match=r"2 texts have no token at all; the first of them is ''(.|\n)*--append-eos"):
        tokenise(gpt2, ["", "moon", ""])
    ended = but(gpt2, append_eos=True)
    assert tokenise(ended, [""]) == [[gpt2.tokenizer.eos_token_id]]


def test_no_text_is_an_error_and_not_an_empty_answer(bert: Encoder) -> None:
    with pytest.raises(EncoderError, match=r"there is no text to encode\n  fix: give at least one"):
        encode_layers(bert, [])


@given(lengths=st.lists(st.integers(1, 50), max_size=40), tokens=st.integers(1, 200))
def test_batches_hold_every_text_once_and_no_more_than_the_tokens(lengths: list[int], tokens: int) -> None:
    batches = list(batches_by_length(lengths, tokens))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[i] for i in batch)
        assert len(batch) == 1 or len(batch) * longest <= tokens
    sizes = [lengths[i] for batch in batches for i in batch]
    assert sizes == sorted(sizes, reverse=True)


def test_a_lower_precision_reaches_every_thread(bert: Encoder, three_threads: None) -> None:
    rows = tokenise(bert, TEXTS * 4)
    exact, rounded = final_vectors(bert, rows, 32), final_vectors(bert, rows, 32, precision="bfloat16")
    assert ((exact - rounded).abs().amax(dim=1) > tolerance(bert)).all()


def test_models_that_a_forward_pass_may_change_run_on_one_thread(bert: Encoder) -> None:
    assert can_share(bert)

    class Own(type(bert.backbone)):  # type: ignore[misc]
        """Stands for code that comes with a checkpoint."""

    own = Own(bert.backbone.config)
    assert not can_share(replace(bert, backbone=own))
    turning = deepcopy(bert.backbone)
    turning.rotations = nn.Identity()
    for kind, shared in (("default", True), ("dynamic", False), ({"full_attention": "longrope"}, False)):
        turning.rotations.rope_type = kind
        assert can_share(replace(bert, backbone=turning)) is shared


def test_vectors_come_in_the_order_of_the_texts(bert: Encoder) -> None:
    texts = [*TEXTS, "red", *TEXTS[::-1]]
    together = encode_layers(bert, texts, tokens=40)
    for i, text in enumerate(texts):
        alone = encode_layers(bert, [text])
        torch.testing.assert_close(together.layers[i], alone.layers[0], atol=tolerance(bert), rtol=0)
        torch.testing.assert_close(together.final[i], alone.final[0], atol=tolerance(bert), rtol=0)


def test_vectors_are_ordinary_tensors_that_a_probe_can_train_on(bert: Encoder) -> None:
    weight = nn.Parameter(torch.ones(16))
    (encode_layers(bert, TEXTS).layers[:, 1] @ weight).sum().backward()
    assert weight.grad is not None


def test_the_head_touches_the_final_vector_only(bert: Encoder) -> None:
    dense = Dense(nn.Linear(16, 6), nn.Tanh())
    headed = replace(but(bert, head=("dense", "normalize")), head=nn.Sequential(dense, Normalize()))
    encoded, bare = encode_layers(headed, TEXTS), encode_layers(bert, TEXTS)
    assert torch.equal(encoded.layers, bare.layers)
    expected = nn.functional.normalize(torch.tanh(dense.linear(bare.layers[:, -1])), dim=-1)
    torch.testing.assert_close(encoded.final, expected)


def test_layers_are_normalised_if_asked_and_the_head_reads_them_before(bert: Encoder) -> None:
    encoded = encode_layers(but(bert, normalize_layers=True), TEXTS)
    np.testing.assert_allclose(encoded.layers.norm(dim=-1).numpy(), 1, atol=1e-6)
    assert torch.equal(encoded.final, encode_layers(bert, TEXTS).final)


def test_a_pooler_follows_on_the_last_layer_only(bert: Encoder) -> None:
    encoded = encode_layers(but(bert, pooling="pooler"), TEXTS)
    first = encode_layers(but(bert, pooling="cls"), TEXTS)
    assert torch.equal(encoded.layers, first.layers)
    with torch.no_grad():
        row = torch.tensor(tokenise(bert, TEXTS[:1]))
        expected = bert.backbone(row).pooler_output[0]
    torch.testing.assert_close(encoded.final[0], expected, atol=tolerance(bert), rtol=0)


def test_rows_of_the_maximum_length_fill_the_positions(bert: Encoder) -> None:
    full = but(bert, max_length=48, pad_to_max=True)
    rows = tokenise(full, [LONG, "red"])
    assert len(rows[0]) == 48
    assert encode_rows(full, rows).final.isfinite().all()


def test_a_fingerprint_changes_with_everything_that_makes_a_vector(tmp_path: Path) -> None:
    folder = save_toy("bert", tmp_path / "toy")
    load = LoadSettings(pooling="mean")
    bert = load_encoder(folder, load)
    assert load_encoder(folder, load).fingerprint == bert.fingerprint

    def changed(**config: object) -> str:
        other = load_encoder(folder, load)
        for name, value in config.items():
            setattr(other.backbone.config, name, value)
        return other.fingerprint

    def trimmed() -> str:
        other = load_encoder(folder, load)
        other.tokenizer.truncation_side = "left"
        return other.fingerprint

    different = {
        "weights": load_encoder(save_toy("bert", tmp_path / "seed", seed=1), load).fingerprint,
        "recipe": but(bert, prompt="q: ").fingerprint,
        "half": load_encoder(folder, LoadSettings(pooling="mean", dtype="float16")).fingerprint,
        "head": replace(bert, head=Normalize()).fingerprint,
        "activation of the head": replace(bert, head=nn.Tanh()).fingerprint,
        "attention heads": changed(num_attention_heads=4),
        "activation": changed(hidden_act="relu"),
        "epsilon": changed(layer_norm_eps=1e-3),
        "truncation side": trimmed(),
    }
    assert len({*different.values(), bert.fingerprint}) == len(different) + 1


def test_a_call_of_the_tokenizer_leaves_the_fingerprint_alone(bert: Encoder) -> None:
    before = tokenizer_state(bert.tokenizer)
    tokenise(but(bert, max_length=7), [LONG])
    bert.tokenizer(list(TEXTS), padding=True)
    assert tokenizer_state(bert.tokenizer) == before


@pytest.mark.real
def test_final_vectors_are_those_of_sentence_transformers(minilm: Path) -> None:
    """Also truncated: the library does not scale a truncated vector to unit length again."""
    texts = ["who wrote hamlet", "", "Hamlet is a tragedy by William Shakespeare. " * 60, "a"]
    library = SentenceTransformer(str(minilm), device="cpu")
    encoder = load_encoder(minilm)
    limit = tolerance(encoder)
    np.testing.assert_allclose(encode_layers(encoder, texts).final, library.encode(texts), atol=limit)
    short = encode_layers(but(encoder, truncate_dim=64), texts).final
    np.testing.assert_allclose(short, library.encode(texts, truncate_dim=64), atol=limit)
    assert AutoTokenizer.from_pretrained(minilm)(texts[1])["input_ids"] == tokenise(encoder, texts)[1]


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_long_text_is_cut_between_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: str) -> None:
    """WordPiece reads a word of more than 100 characters as one unknown token, and half of it as many known ones."""
    pieces = Tokenizer(WordPiece({"[UNK]": 0, "[PAD]": 1, "a": 2, "b": 3, "##a": 4, "##b": 5}, unk_token="[UNK]"))
    pieces.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=pieces, unk_token="[UNK]", pad_token="[PAD]")
    tokenizer.truncation_side = side
    toy = load_encoder(save_toy("bert", tmp_path), LoadSettings(pooling="mean", max_length=8))
    monkeypatch.setattr("retroscope.encoders.encode.LONGEST_TOKEN", 25)  # of 200 characters, 59 are of a broken word
    text = " ".join(["ab" * 70] * 40)
    assert tokenise(replace(toy, tokenizer=tokenizer, tokens=None), [text]) == [[0] * 8]
