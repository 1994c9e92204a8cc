"""Activation patching: by hand, in planted truth, and where nothing can be recovered."""

from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import toy

from planted_heads import COPYING, make_copying, make_names
from retroscope.analyses.patching.settings import COMPONENT_NAMES, TOKEN_NAMES
from retroscope.attribution.patching.alignment import PATCHED, align_texts, sources
from retroscope.attribution.patching.components import (
    COMPONENTS,
    activations,
    brought,
    find_components,
    patched,
    random_patch,
)
from retroscope.attribution.patching.corruption import corruptions, rarest, word_counts
from retroscope.attribution.patching.recovery import PatchingRun
from retroscope.encoders.encode import forward, model_inputs, pad, tokenise
from retroscope.encoders.encoder import Encoder, Retriever

CLEAN, CORRUPTED = "A cat sat on a mat", "A red sat on a mat"


def pair(encoder: Encoder, clean: str = CLEAN, corrupted: str = CORRUPTED) -> list[list[int]]:
    return tokenise(encoder, [clean, corrupted])


def test_names_are_those_that_settings_repeat() -> None:
    assert (COMPONENT_NAMES, TOKEN_NAMES) == (COMPONENTS, PATCHED)


def test_alignment_finds_what_is_common() -> None:
    same = align_texts([1, 2, 3, 4], [1, 9, 3, 4])
    assert same.pairs("changed") == [(1, 1)]
    assert same.pairs("rest") == [(0, 0), (2, 2), (3, 3)]
    assert same.pairs("all") == [(i, i) for i in range(4)]
    removed = align_texts([1, 2, 2, 3], [1, 2, 3])
    assert removed.pairs("changed") == []
    assert removed.pairs("rest") == [(0, 0), (1, 1), (3, 2)]


def test_places_are_right_under_padding_on_the_left() -> None:
    encoder = toy("gpt_neox")
    rows = [[5, 6, 7, 8], [5, 7, 8]]
    clean, corrupted = pad(encoder, [rows[0], [5, 6]], side="left"), pad(encoder, [rows[1], [5, 9]], side="left")
    found = sources([align_texts(*rows), align_texts([5, 6], [5, 9])], "rest", clean, corrupted)
    ids = brought(clean.ids[..., None].double(), found)[..., 0].long()
    assert torch.equal(ids[found >= 0], corrupted.ids[found >= 0])
    assert found.tolist() == [[0, 2, 3], [-1, 2, -1]]


@pytest.mark.parametrize("kind", COMPONENTS)
@pytest.mark.parametrize("name", ["bert", "llama", "opt", "t5"])
def test_a_patch_is_what_a_hook_by_hand_gives(name: str, kind: str) -> None:
    """Forward hooks of torch on the library's own model, both texts of one length, one token replaced."""
    encoder = toy(name)
    clean, corrupted = [[4, 20, 21, 22, 5], [4, 20, 30, 22, 5]]
    component = find_components(encoder, [kind])[-1]
    batches = [pad(encoder, [row]) for row in (clean, corrupted)]
    given = activations(encoder, batches[0], [component]).of(component)
    where = torch.zeros(1, 5, dtype=torch.bool)
    where[0, 2] = True
    with torch.no_grad(), patched(encoder, component, given, where):
        ours = forward(encoder, batches[1]).layers[:, -1]
    module = encoder.backbone.get_submodule(component.path)
    kept = {}

    def keep(module: torch.nn.Module, args: tuple, output: object) -> None:
        kept["states"] = args[0] if kind == "head" else output[0] if isinstance(output, tuple) else output

    def put_in(module: torch.nn.Module, args: tuple) -> tuple:
        states = args[0].clone()
        states.view(5, -1)[2, component.part] = kept["states"].view(5, -1)[2, component.part]
        return (states, *args[1:])

    def put_out(module: torch.nn.Module, args: tuple, output: object) -> object:
        states = (output[0] if isinstance(output, tuple) else output).clone()
        states.view(5, -1)[2] = kept["states"].view(5, -1)[2]
        return (states, *output[1:]) if isinstance(output, tuple) else states

    with torch.no_grad():
        handle = module.register_forward_hook(keep)
        encoder.backbone(**model_inputs(encoder, batches[0]))
        handle.remove()
        put = module.register_forward_pre_hook(put_in) if kind == "head" else module.register_forward_hook(put_out)
        by_hand = encoder.backbone(**model_inputs(encoder, batches[1])).last_hidden_state.mean(1)
        put.remove()
        without = encoder.backbone(**model_inputs(encoder, batches[1])).last_hidden_state.mean(1)
    torch.testing.assert_close(ours, by_hand, atol=1e-5, rtol=0)
    assert (by_hand - without).abs().max() > 1e-4


def run_of(encoder: Encoder, texts: list[tuple[list[int], list[int]]], other: Encoder | None = None) -> PatchingRun:
    width = forward(encoder, pad(encoder, [texts[0][0]])).final.shape[1]
    against = torch.randn(len(texts), width, generator=torch.Generator().manual_seed(0))
    aligned = [align_texts(*both) for both in texts]
    return PatchingRun(encoder, other, aligned, against, False, find_components(encoder, COMPONENTS))


TEXTS = [([4, 20, 21, 22, 5], [4, 20, 30, 22, 5]), ([4, 25, 21, 5], [4, 26, 21, 5]), ([4, 25, 21, 5], [4, 21, 5])]


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_all_tokens_of_a_block_bring_all_of_the_margin_back(name: str) -> None:
    run = run_of(toy(name), TEXTS)
    total = run.margins("clean") - run.margins("corrupted")
    back = run.recovered("all", "own")
    blocks = [i for i, one in enumerate(run.components) if one.kind == "block"]
    np.testing.assert_allclose(back[:2, blocks], np.stack([total[:2]] * 2, axis=1), atol=1e-4)
    assert np.isnan(run.recovered("changed", "own")[2]).all()  # a removed token has no place


def test_a_model_is_its_own_double_across_models() -> None:
    """The other model's activations are what it computes: those of the same weights bring back the same."""
    encoder, another = toy("bert"), toy("roberta")
    twin = run_of(encoder, TEXTS, other=encoder)
    np.testing.assert_allclose(twin.recovered("rest", "other"), twin.recovered("rest", "own"), atol=1e-6)
    mixed = run_of(encoder, TEXTS[:1], other=another)
    last = [one.name for one in mixed.components].index("block 2")
    got = mixed.recovered("all", "other")[0, last] + mixed.margins("corrupted")[0]
    alone = PatchingRun(another, None, mixed.texts, mixed.against, False, [])
    assert got == pytest.approx(alone.margins("clean")[0], abs=1e-4)


def test_random_patches_are_as_large_as_the_clean_ones() -> None:
    own, clean = torch.randn(2, 3, 8), torch.randn(2, 3, 8)
    moved = random_patch(own, clean, seed=1)
    torch.testing.assert_close((moved - own).norm(dim=-1), (clean - own).norm(dim=-1))
    torch.testing.assert_close(moved, random_patch(own, clean, seed=1))
    assert not torch.allclose(moved, random_patch(own, clean, seed=2))


@pytest.fixture(scope="module")
def copying(tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    return make_copying(tmp_path_factory.mktemp("copying"))


def names_run(retriever: Retriever, other: Encoder | None = None) -> PatchingRun:
    """Every query with its name swapped for the next one's; the margin is that of both passages."""
    collection = make_names()
    queries = [query.text for query in collection.queries.values()]
    names = [next(word for word in text.split() if word.startswith("name")) for text in queries]
    n = len(queries)
    corrupted = [text.replace(names[i], names[(i + 1) % n]) for i, text in enumerate(queries)]
    rows = tokenise(retriever.query, queries), tokenise(retriever.query, corrupted)
    with torch.no_grad():
        passages = forward(
            retriever.passage, pad(retriever.passage, tokenise(retriever.passage, list_of(collection)))
        ).final
    against = passages - passages.roll(-1, 0)
    aligned = [align_texts(*both) for both in zip(*rows, strict=True)]
    return PatchingRun(retriever.query, other, aligned, against, False, find_components(retriever.query, COMPONENTS))


def list_of(collection) -> list[str]:
    return [collection.passage_text(p) for p in collection.passages]


def test_the_copying_head_brings_the_name_to_the_pooled_token(copying: Retriever) -> None:
    run = names_run(copying)
    total = (run.margins("clean") - run.margins("corrupted")).mean()
    share = dict(zip([one.name for one in run.components], run.recovered("rest", "own").mean(0) / total, strict=True))
    planted = f"head {COPYING[0]}.{COPYING[1]}"
    assert share[planted] > 0.9
    assert share["block 2"] == pytest.approx(1, abs=1e-3)
    others = {name: value for name, value in share.items() if name not in (planted, "block 2")}
    assert max(map(abs, others.values())) < 0.02
    early = dict(
        zip([one.name for one in run.components], run.recovered("changed", "own").mean(0) / total, strict=True)
    )
    assert early["block 1"] > 0.9  # the name is there before it is copied
    assert max(abs(value) for name, value in early.items() if name != "block 1") < 0.02


def test_random_patches_recover_nothing(copying: Retriever) -> None:
    run = names_run(copying)
    total = (run.margins("clean") - run.margins("corrupted")).mean()
    for tokens in ("rest", "changed"):
        assert np.abs(run.recovered(tokens, "random").mean(0) / total).max() < 0.3
    assert run.recovered("rest", "own").mean(0).max() / total > 0.9


def test_a_model_that_copies_nothing_gives_nothing(copying: Retriever, tmp_path: Path) -> None:
    blind = make_copying(tmp_path, copies=False)
    run = names_run(copying, other=blind.query)
    planted = [one.name for one in run.components].index(f"head {COPYING[0]}.{COPYING[1]}")
    total = (run.margins("clean") - run.margins("corrupted")).mean()
    own, other, exchange = (
        run.recovered("rest", donor)[:, planted].mean() / total for donor in ("own", "other", "other-corrupted")
    )
    assert own > 0.9
    assert other > 0.3  # the name of the corrupted query is gone, which the exchange of models does by itself
    assert other - exchange == pytest.approx(0, abs=1e-3)  # the clean query's name does not come


def test_an_exchange_of_equal_models_does_nothing(copying: Retriever) -> None:
    """The other model's corrupted activation is the receiver's own, and its random change the receiver's, too."""
    run = names_run(copying, other=copying.query)
    np.testing.assert_allclose(run.recovered("rest", "other-corrupted"), 0, atol=1e-4)
    np.testing.assert_allclose(run.recovered("rest", "other-random"), run.recovered("rest", "random"), atol=1e-4)


def test_the_other_models_corrupted_activation_has_its_own_place() -> None:
    """Also where a removed word moves the clean query's tokens."""
    run = run_of(toy("bert"), TEXTS, other=toy("bert"))
    np.testing.assert_allclose(run.recovered("rest", "other-corrupted"), 0, atol=1e-5)


def test_queries_are_corrupted_as_their_names_say() -> None:
    queries = {"a": "the rare cat", "b": "the odd dog", "c": "word"}
    counts = word_counts([*queries.values(), "the cat", "the dog", "rare"])
    assert counts["the"] == 4
    assert rarest("the odd dog", counts).group() == "odd"

    def of(kind: str) -> dict[str, tuple[str, ...]]:
        return {i: tuple(texts) for i, texts in corruptions(queries, counts, kind, seed=0)}

    assert of("removed") == {"a": ("the cat",), "b": ("the dog",), "c": ()}
    assert set(of("swapped")["b"]) == {"the rare dog", "the word dog"}
    orders = of("order")
    assert orders["c"] == ()
    assert all(sorted(text.split()) == ["cat", "rare", "the"] and text != queries["a"] for text in orders["a"])


@pytest.mark.parametrize(
    ("text", "negated"),
    [
        ("who IS the king of zembla", "who IS not the king of zembla"),
        ("who wrote zembla", "who wrote not zembla"),
        ("does it rain, and is it cold in zembla", "does not it rain, and is it cold in zembla"),
        ("this island of zembla", "not this island of zembla"),  # "is" within a word is no verb
        ("who was not king of zembla", None),
        ("why isn\u2019t zembla a king", None),
        ("who never wrote", None),
        ("?", None),
    ],
)
def test_a_negated_query_has_one_negation_more(text: str, negated: str | None) -> None:
    ((_, found),) = corruptions({"a": text}, word_counts(["who is the king", "who wrote it of"]), "negated", seed=0)
    assert found == (() if negated is None else (negated,))


@pytest.mark.filterwarnings("ignore:Module .* has a submodule named:UserWarning")  # nnsight renames BERT's "output"
@pytest.mark.parametrize("name", ["bert", "llama"])
def test_nnsight_patches_a_head_to_the_same_numbers(name: str) -> None:
    """A peer: activation patching of one head at one token by nnsight, on the library's own model."""
    nnsight = pytest.importorskip("nnsight", reason="nnsight is an oracle of this test alone")
    encoder = toy(name)
    clean, corrupted = (torch.tensor([row]) for row in ([4, 20, 21, 22, 5], [4, 20, 30, 22, 5]))
    component = next(one for one in find_components(encoder, ["head"]) if one.name == "head 2.1")
    peer = nnsight.NNsight(encoder.backbone)

    def matrix() -> object:
        return peer.encoder.layer[1].attention.E_output.dense if name == "bert" else peer.layers[1].self_attn.o_proj

    with torch.no_grad():
        with peer.trace(input_ids=clean):
            kept = matrix().input.save()
        with peer.trace(input_ids=corrupted):
            matrix().input[:, 2, component.part] = kept[:, 2, component.part]
            states = peer.output.last_hidden_state.save()
    batches = [pad(encoder, [ids[0].tolist()]) for ids in (clean, corrupted)]
    where = torch.zeros(1, 5, dtype=torch.bool)
    where[0, 2] = True
    given = activations(encoder, batches[0], [component]).of(component)
    with torch.no_grad(), patched(encoder, component, given, where):
        ours = forward(encoder, batches[1]).layers[:, -1]
    torch.testing.assert_close(ours, states.mean(1), atol=1e-5, rtol=0)
    with torch.no_grad():
        assert (ours - forward(encoder, batches[1]).layers[:, -1]).abs().max() > 1e-4
