"""Heads: where the table says, replaced as by hand, and a planted one is found by every method."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import toy

from planted_heads import COPYING, NAMES, make_copying, make_names
from retroscope.attribution.examples import collection_examples
from retroscope.attribution.heads.accuracy import estimate_error
from retroscope.attribution.heads.attention import TOKEN_KINDS, attention_by_kind, name_tokens
from retroscope.attribution.heads.choice import Head, choose_heads, random_sets
from retroscope.attribution.heads.first_order import first_order
from retroscope.attribution.heads.margins import MarginTexts, margin_texts
from retroscope.attribution.heads.sites import find_heads, fixed_heads, head_means
from retroscope.attribution.settings import AttributionSettings
from retroscope.collection.negatives import hard_negatives
from retroscope.encoders.capture import capture_calls, rewrite_inputs, rewrite_outputs
from retroscope.encoders.encode import encode_rows, model_inputs, pad, tokenise
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.errors import SettingsError
from toys import TEXTS, TOYS

SEPARATE_VALUES = {  # family -> the matrix that makes the values, in the attention of a block
    "bert": "encoder.layer.{}.attention.self.value",
    "roberta": "encoder.layer.{}.attention.self.value",
    "distilbert": "transformer.layer.{}.attention.v_lin",
    "mpnet": "encoder.layer.{}.attention.attn.v",
    "electra": "encoder.layer.{}.attention.self.value",
    "deberta-v2": "encoder.layer.{}.attention.self.value_proj",
    "llama": "layers.{}.self_attn.v_proj",
    "qwen3": "layers.{}.self_attn.v_proj",
    "gemma2": "layers.{}.self_attn.v_proj",
    "opt": "decoder.layers.{}.self_attn.v_proj",
    "t5": "encoder.block.{}.layer.0.SelfAttention.v",
}


def read(encoder: Encoder) -> dict[str, torch.Tensor]:
    """What every attention output matrix reads, split into heads."""
    sites = find_heads(encoder)
    batch = pad(encoder, tokenise(encoder, TEXTS[:2]))
    with torch.no_grad(), capture_calls(sites.modules(encoder)) as calls:
        encoder.backbone(**model_inputs(encoder, batch))
    return {path: sites.apart(calls.only(path).input) for path in sites.paths}


@pytest.mark.parametrize("name", TOYS)
def test_every_family_has_its_heads(name: str) -> None:
    encoder = toy(name)
    sites = find_heads(encoder)
    assert (len(sites.paths), sites.heads) == (2, 2)
    assert all(states.shape[-2:] == (2, sites.width) for states in read(encoder).values())


@pytest.mark.parametrize("name", SEPARATE_VALUES)
def test_the_values_of_a_head_reach_its_slice_alone(name: str) -> None:
    """Heads that share values (LLaMA) are moved together, all others one by one."""
    encoder = toy(name)
    sites = find_heads(encoder)
    values = SEPARATE_VALUES[name].format(1)
    before = read(encoder)[sites.paths[1]]
    width = encoder.backbone.get_submodule(values).weight.shape[0]
    shared = width // sites.width  # heads of keys and values
    for number in range(shared):

        def moved(path: str, output: torch.Tensor, number: int = number) -> torch.Tensor:
            changed = output.clone()
            changed[..., number * sites.width : (number + 1) * sites.width] += 1.0
            return changed

        with rewrite_outputs({values: encoder.backbone.get_submodule(values)}, moved):
            after = read(encoder)[sites.paths[1]]
        change = (after - before).abs().amax(dim=(0, 1, 3)) > 1e-4
        group = sites.heads // shared
        assert change.tolist() == [head // group == number for head in range(sites.heads)]


@pytest.mark.parametrize("name", ["bert", "llama", "t5"])
def test_a_fixed_head_is_what_replacing_its_slice_by_hand_gives(name: str) -> None:
    """A forward pre-hook of torch on the output matrix, and the library's own pass, text by text without padding."""
    encoder = toy(name)
    sites = find_heads(encoder)
    rows = tokenise(encoder, TEXTS)
    means = head_means(encoder, rows)
    by_hand = []
    for row in rows:
        for path, layer in zip(sites.paths, range(2), strict=True):
            if layer != 1:
                continue

            def replaced(module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
                states = args[0].clone()
                states[:, :, sites.width : 2 * sites.width] = torch.tensor(means[1, 1], dtype=torch.float32)
                return (states,)

            handle = encoder.backbone.get_submodule(path).register_forward_pre_hook(replaced)
            with torch.no_grad():
                by_hand.append(encoder.backbone(input_ids=torch.tensor([row])).last_hidden_state.mean(1))
            handle.remove()
    with fixed_heads(encoder, [Head(2, 1)], means):
        ours = encode_rows(encoder, rows).layers[:, -1]
    torch.testing.assert_close(ours, torch.cat(by_hand), atol=1e-5, rtol=0)
    assert (ours - encode_rows(encoder, rows).layers[:, -1]).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["bert", "llama", "opt"])
def test_means_are_those_of_all_real_tokens(name: str) -> None:
    encoder = toy(name)
    rows = tokenise(encoder, TEXTS)
    sites = find_heads(encoder)
    states = []
    for row in rows:
        batch = pad(encoder, [row])
        with torch.no_grad(), capture_calls(sites.modules(encoder)) as calls:
            encoder.backbone(**model_inputs(encoder, batch))
        states.append(torch.stack([sites.apart(calls.only(path).input).reshape(len(row), 2, -1)
                                   for path in sites.paths]))  # fmt: skip
    expected = torch.cat(states, dim=1).double().mean(1).numpy()
    np.testing.assert_allclose(head_means(encoder, rows, tokens=64), expected, atol=1e-6)


def test_a_head_that_is_not_there_is_refused() -> None:
    encoder = toy("bert")
    means = head_means(encoder, tokenise(encoder, TEXTS))
    with pytest.raises(SettingsError, match="no head 2 in layer 1"), fixed_heads(encoder, [Head(1, 2)], means):
        pass


@pytest.fixture(scope="module")
def copying(tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    return make_copying(tmp_path_factory.mktemp("copying"))


def texts_of_names(retriever: Retriever, towers: tuple[str, ...]) -> tuple[MarginTexts, dict[str, list]]:
    collection = make_names()
    candidates = hard_negatives(collection, 4).candidates
    settings = AttributionSettings(limit=0, agreement=None)
    examples = {
        tower: collection_examples(retriever, collection, candidates, replace(settings, tower=tower))
        for tower in ("query", "passage")
    }
    return margin_texts(retriever, collection, examples["query"], towers), examples


@pytest.mark.parametrize("towers", [("query",), ("passage",), ("query", "passage")])
def test_the_planted_head_is_found_exactly_and_to_first_order(copying: Retriever, towers: tuple[str, ...]) -> None:
    texts, examples = texts_of_names(copying, towers)
    intact = texts.margins()
    assert (intact > 0).mean() > 0.9
    estimates = sum(
        first_order(copying.tower(tower), examples[tower], texts.means[tower], cosine=False).mean(0) for tower in towers
    )
    exact = np.array([[(texts.margins([Head(k, h)]) - intact).mean() for h in range(4)] for k in (1, 2)])
    planted = (COPYING[0] - 1, COPYING[1])
    for found in (exact, estimates):
        others = np.delete(found.ravel(), np.ravel_multi_index(planted, found.shape))
        assert found[planted] < -0.4 * intact.mean()
        assert np.abs(others).max() < 0.01 * abs(found[planted])


def test_without_the_planted_head_no_head_matters(tmp_path: Path) -> None:
    """Control: where the head does not find the name, all margins are zero and stay so."""
    blind = make_copying(tmp_path, copies=False)
    texts, _ = texts_of_names(blind, ("query", "passage"))
    assert np.abs(texts.margins()).max() < 0.1  # of about 20 where it copies
    assert np.abs(texts.margins([Head(*COPYING)])).max() < 0.1


def test_first_order_is_the_slope_of_the_exact_change() -> None:
    """A small step towards the mean, and one away from it, differ by that part of the estimate."""
    retriever = Retriever("toy", toy("llama"), toy("llama"), "cosine")
    texts, examples = texts_of_toys(retriever)
    encoder, step = retriever.query, 1e-2
    estimates = first_order(encoder, examples, texts.means["query"], cosine=True)
    relevant, negative = texts._vectors("passage").chunk(2)
    for head in find_heads(encoder).every:
        margins = []
        for way in (step, -step):
            with moved_to_mean(encoder, head, texts.means["query"], way):
                margins.append((texts._vectors("query") * (relevant - negative)).double().sum(-1).numpy())
        slope = (margins[0] - margins[1]) / (2 * step)
        np.testing.assert_allclose(slope, estimates[:, head.layer - 1, head.head], atol=1e-3)


def moved_to_mean(encoder: Encoder, head: Head, means: np.ndarray, step: float):
    sites = find_heads(encoder)
    mean = torch.tensor(means[head.layer - 1, head.head], dtype=torch.float32)

    def moved(path: str, states: torch.Tensor) -> torch.Tensor:
        changed = states.clone()
        part = sites.part(head.head)
        changed[..., part] += step * (mean - states[..., part])
        return changed

    return rewrite_inputs({"one": encoder.backbone.get_submodule(sites.path(head))}, moved)


def texts_of_toys(retriever: Retriever) -> tuple[MarginTexts, list]:
    from planted_pair import make_halves

    collection = make_halves()
    candidates = hard_negatives(collection, 2).candidates
    settings = AttributionSettings(limit=6, tower="query", agreement=None)
    examples = collection_examples(retriever, collection, candidates, settings)
    return margin_texts(retriever, collection, examples, ("query",)), examples


def test_the_copying_head_attends_to_the_subject(copying: Retriever) -> None:
    collection = make_names()
    encoder = copying.query
    rows = tokenise(encoder, [query.text for query in collection.queries.values()])
    seen = attention_by_kind(encoder, rows, [name_tokens(encoder, name) for name in NAMES])
    assert seen.gap <= seen.limit
    np.testing.assert_allclose(seen.shares.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(seen.uniform.sum(-1), 1, atol=1e-9)
    to_subject = seen.shares[:, 1, :, :, TOKEN_KINDS.index("subject")].mean(0)
    assert to_subject[COPYING[0] - 1, COPYING[1]] > 0.99
    assert to_subject[0, 0] == pytest.approx(1 / 8)  # attends to all alike
    assert np.delete(to_subject.ravel(), [0, 4 * (COPYING[0] - 1) + COPYING[1]]).max() < 0.01
    special = seen.shares[:, 1, 0, 1, TOKEN_KINDS.index("special")]
    assert special.min() > 0.99
    assert seen.uniform[:, 0, TOKEN_KINDS.index("subject")] == pytest.approx(1 / 8)


@pytest.mark.parametrize("name", TOYS)
def test_attention_of_every_family_is_all_accounted_for(name: str) -> None:
    encoder = toy(name)
    usual = encoder.backbone.config._attn_implementation
    seen = attention_by_kind(encoder, tokenise(encoder, TEXTS))
    np.testing.assert_allclose(seen.shares.sum(-1), 1, atol=1e-4)
    assert seen.gap <= seen.limit
    assert encoder.backbone.config._attn_implementation == usual


def test_repeated_words_and_neighbours_are_counted() -> None:
    encoder = toy("bert")
    row = tokenise(encoder, ["cat cat"])[0]
    rows = [[row[0], 20, 21, 22, 20, row[-1]]]
    uniform = attention_by_kind(encoder, rows).uniform[0, 0]
    by_kind = dict(zip(TOKEN_KINDS, uniform, strict=True))
    # pairs of 36: 12 to special tokens; 4 inner tokens to themselves; 3 + 3 inner neighbours, and 2 of special tokens
    assert by_kind == pytest.approx(
        {"special": 12 / 36, "subject": 0, "itself": 4 / 36, "neighbour": 8 / 36, "repeated": 2 / 36, "other": 10 / 36}
    )


def test_controls_and_samples_hold_no_top_head() -> None:
    rng = np.random.default_rng(0)
    estimates = {"before": rng.normal(size=(3, 4)), "after": rng.normal(size=(3, 4))}
    chosen = choose_heads(estimates, top=2, sample=3, controls=2, seed=1)
    tops = {head for heads in chosen.top.values() for head in heads}
    for side, heads in chosen.top.items():
        worst = sorted(estimates[side].ravel())[:2]
        assert [estimates[side][head.layer - 1, head.head] for head in heads] == worst
    others = {*chosen.sample, *(head for heads in chosen.controls.values() for head in heads)}
    assert not others & tops
    assert {*chosen.every} == others | tops
    assert all(head.layer == layer for layer, heads in chosen.controls.items() for head in heads)
    top = [Head(1, 0), Head(1, 1), Head(3, 2)]
    for some in random_sets(top, 4, draws=4, seed=0):
        assert [head.layer for head in some] == [1, 1, 3]
        assert not {*some} & {*top}


def test_the_error_of_an_estimate_is_that_of_its_means() -> None:
    exact = np.array([[1.0, 2.0, 4.0], [3.0, 2.0, 0.0]])
    found = estimate_error(exact + np.array([0.0, 0.5, 0.0]), exact)
    assert (found.heads, found.largest, found.largest_effect) == (3, 0.5, 2.0)
    assert np.isnan(found.correlation)  # all exact means are 2
    assert estimate_error(2 * exact[:1], exact[:1]).correlation == pytest.approx(1)
