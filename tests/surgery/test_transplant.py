"""Transplants: everything gives the other model, nothing the same bytes, and only what lies above is run again."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from retroscope.encoders.encode import final_vectors, tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import EncoderError, SettingsError
from retroscope.surgery.hybrids import _Pair, hybrids, transplanted
from retroscope.surgery.ownership import ENTANGLED, encodings
from retroscope.surgery.random_changes import RandomChanges
from retroscope.surgery.transplant import named, steps, sweep
from toys import TEXTS, TOYS, save_toy

SOME = ("none", "block:1", "top:1", "bottom:1", "attention", "ffn_in", "ffn_out", "norms", "embeddings", "all",
        "set:1+outside", "set:2", "random:0:block:1", "random:1:block:2", "random:0:attention", "random:0:norms",
        "random:0:embeddings", "random:0:all")  # fmt: skip


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Encoder, Encoder]]:
    folder = tmp_path_factory.mktemp("transplant")

    def pair_of(name: str) -> tuple[Encoder, Encoder]:
        encoders = []
        for seed in (0, 1):
            place = folder / f"{name}-{seed}"
            if not place.exists():
                save_toy(name, place, seed)
            encoders.append(load_encoder(place, LoadSettings(pooling="mean")))
        return encoders[0], encoders[1]

    return pair_of


def by_hand(receiver: Encoder, donor: Encoder, name: str, rows: list[list[int]]) -> Tensor:
    """The hybrid with its weights written into the receiver, encoded whole; the receiver is mended afterwards."""
    transplant, anatomy = named(name, receiver.anatomy.n_blocks), receiver.anatomy
    own = dict(receiver.backbone.named_parameters())
    kept = {key: value.clone() for key, value in own.items()}
    theirs = dict(donor.backbone.named_parameters())
    random = RandomChanges((receiver, donor))
    with torch.no_grad():
        for key, value in own.items():
            block, part = anatomy.part_of(key)
            layer = block + 1 if block is not None else 0 if part == "embedding" else anatomy.n_blocks
            if key in theirs and transplant.share is not None:
                value.lerp_(theirs[key], transplant.share)
            elif key in theirs and transplant.donates(layer, part) and transplant.draw is not None:
                value.add_(random.of(transplant.draw, key))
            elif key in theirs and transplant.donates(layer, part):
                value.copy_(theirs[key])
        vectors = final_vectors(receiver, rows)
        for key, value in own.items():
            value.copy_(kept[key])
    return vectors


def test_what_a_sweep_costs_is_counted_in_blocks(pair: Callable[[str], tuple[Encoder, Encoder]]) -> None:
    """Of L blocks both directions cost 2 L^2 blocks by block and from both ends, and L for every part and share."""
    anatomy = pair("llama")[0].anatomy
    blocks = anatomy.n_blocks
    counted = [name for name in sweep(blocks, shares=()) if ":" in name]
    wanted = [(receiver, name) for receiver in (0, 1) for name in ("none", *counted, "all")]
    assert encodings(anatomy, wanted) == pytest.approx(2 + _by_hand(blocks))
    assert encodings(anatomy, [(0, "none"), (1, "all"), (1, "none")]) == 2, "both models, recorded"
    assert encodings(anatomy, [(0, "interpolate:0.25"), (1, "interpolate:0.75")]) == 3, "one hybrid with two names"
    assert encodings(anatomy, [(0, "attention"), (1, "attention")]) == 4


def _by_hand(blocks: int) -> float:
    """A block alone is run from itself up, a top from the block after its first, which is that block alone; a bottom is
    the other direction's top.
    """
    alone = sum(blocks - k + 1 for k in range(1, blocks + 1))
    top = sum(blocks - k for k in range(1, blocks + 1))
    return 2 * (alone + top) / blocks


def test_subsets_of_blocks_share_what_they_begin_with(
    pair: Callable[[str], tuple[Encoder, Encoder]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many blocks are run as are counted: the subsets of two blocks and what lies outside are a tree."""
    one, two = pair("llama")
    names = ("none", "set:1", "set:2", "set:1+2", "set:outside", "set:1+outside", "set:2+outside", "all")
    wanted = [(0, name) for name in names]
    ran: list[int] = []
    block = _Pair._block
    monkeypatch.setattr(_Pair, "_block", lambda self, hybrid, layer: (ran.append(layer), block(self, hybrid, layer))[1])
    rows = tokenise(one, TEXTS)
    together = hybrids((one, two), rows, wanted, tokens=10**6)
    assert sorted(ran) == [1, 1, 2, 2, 2, 2, 2, 2]
    assert encodings(one.anatomy, wanted) == 2 + len(ran) / 2
    for receiver, name in wanted:
        assert torch.equal(together[receiver, name], transplanted(one, two, rows, (name,), tokens=10**6)[name])


@pytest.mark.parametrize("name", TOYS)
def test_every_hybrid_is_the_one_made_by_hand(name: str, pair: Callable[[str], tuple[Encoder, Encoder]]) -> None:
    receiver, donor = pair(name)
    rows = tokenise(receiver, TEXTS)
    hybrid_vectors = transplanted(receiver, donor, rows, (*SOME, "interpolate:0.5"))
    for transplant, vectors in hybrid_vectors.items():
        torch.testing.assert_close(vectors, by_hand(receiver, donor, transplant, rows), rtol=1e-5, atol=1e-5)
    other = replace(donor, head=receiver.head)  # recipe and head stay the receiver's
    torch.testing.assert_close(hybrid_vectors["all"], final_vectors(other, rows), rtol=1e-5, atol=1e-5)
    assert torch.equal(hybrid_vectors["none"], final_vectors(receiver, rows)), "nothing transplanted: the same bytes"
    apart = {key for key, vectors in hybrid_vectors.items() if (vectors - hybrid_vectors["none"]).abs().max() > 1e-3}
    assert apart == set(hybrid_vectors) - {"none"}, "every transplant does something"


def test_neither_model_is_changed(pair: Callable[[str], tuple[Encoder, Encoder]]) -> None:
    receiver, donor = pair("llama")
    transplanted(receiver, donor, tokenise(receiver, TEXTS), ("all",))  # transformers puts hooks of its own on blocks
    hooks = [[len(m._forward_hooks) for m in e.backbone.modules()] for e in (receiver, donor)]
    before = [{k: v.clone() for k, v in e.backbone.state_dict().items()} for e in (receiver, donor)]
    transplanted(receiver, donor, tokenise(receiver, TEXTS), sweep(2))
    for encoder, state, own in zip((receiver, donor), before, hooks, strict=True):
        assert all(torch.equal(value, state[key]) for key, value in encoder.backbone.state_dict().items())
        assert [len(m._forward_hooks) for m in encoder.backbone.modules()] == own


@pytest.mark.parametrize("name", ["bert", "llama", "t5", "gpt2"])
def test_threads_change_no_bit_of_a_hybrid_and_no_weight(
    name: str, pair: Callable[[str], tuple[Encoder, Encoder]], three_threads: None
) -> None:
    """Weights are replaced in a copy of each thread: threads that replaced them in one model would mix hybrids up."""
    one, two = pair(name)
    rows = tokenise(one, [f"{text} {' '.join(TEXTS[: k % 4])}" for k in range(6) for text in TEXTS])
    keys = [(receiver, each) for receiver in (0, 1) for each in (*SOME, "interpolate:0.25")]
    before = [{k: v.clone() for k, v in each.backbone.state_dict().items()} for each in (one, two)]
    torch.set_num_threads(1)
    alone = hybrids((one, two), rows, keys, tokens=64)
    torch.set_num_threads(3)
    for _ in range(3):
        together = hybrids((one, two), rows, keys, tokens=64)
        assert all(torch.equal(together[key], alone[key]) for key in keys)
    for encoder, state in zip((one, two), before, strict=True):
        assert all(torch.equal(value, state[key]) for key, value in encoder.backbone.state_dict().items())


def test_only_what_lies_above_is_run_again(
    pair: Callable[[str], tuple[Encoder, Encoder]], monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver, donor = pair("bert")
    ran: list[str] = []
    for side, encoder in (("r", receiver), ("d", donor)):
        for k, block in enumerate(encoder.anatomy.blocks(encoder.backbone), start=1):

            def counted(*args: object, b=block, tag=f"{side}{k}", own=block.forward, **kwargs: object) -> object:
                ran.append(tag)
                return own(*args, **kwargs)

            monkeypatch.setattr(block, "forward", counted)
    rows = tokenise(receiver, TEXTS[:1])
    expected = {"none": [], "block:2": ["d2"], "block:1": ["d1", "r2"], "top:1": ["d2"], "bottom:1": ["r2"],
                "bottom:2": [], "all": [], "embeddings": ["r1", "r2"]}  # fmt: skip
    for name, blocks in expected.items():
        ran.clear()
        transplanted(receiver, donor, rows, (name,))
        assert ran[2:] == blocks, name  # first the two blocks of the model that it begins with, to record them


def test_complementary_hybrids_are_one(pair: Callable[[str], tuple[Encoder, Encoder]]) -> None:
    """The retriever with the backbone's bottom is the backbone with the retriever's top."""
    one, two = pair("llama")
    rows = tokenise(one, TEXTS)
    mine, theirs = transplanted(one, two, rows, ("bottom:1",)), transplanted(two, one, rows, ("top:1",))
    assert torch.equal(mine["bottom:1"], theirs["top:1"])


@pytest.mark.parametrize("name", ["llama", "bert", "t5"])
def test_both_directions_are_run_as_one(
    name: str, pair: Callable[[str], tuple[Encoder, Encoder]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same vectors as one direction at a time, and no model is run twice under two names."""
    one, two = pair(name)
    rows, names = tokenise(one, TEXTS), (*sweep(2), "interpolate:0.25")
    ran: list[object] = []
    for whole, own in (("above", _Pair.above), ("whole", _Pair.whole)):
        monkeypatch.setattr(_Pair, whole, lambda self, hybrid, own=own: (ran.append(hybrid), own(self, hybrid))[1])
    together = hybrids((one, two), rows, [(r, n) for r in (0, 1) for n in names], tokens=10**6)
    assert len(ran) < 2 * len(names) - 8, "bottom and top, embeddings and top:L, all and none, shares are shared"
    for receiver, mine, theirs in ((0, one, two), (1, two, one)):
        for key, vectors in transplanted(mine, theirs, rows, names, tokens=10**6).items():
            torch.testing.assert_close(together[receiver, key], vectors, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("blocks", "groups"), [(1, 0), (5, 0), (30, 6), (7, 3), (5, 12), (12, 5)])
def test_groups_hold_every_block_once(blocks: int, groups: int) -> None:
    planned_steps = steps(blocks, groups)
    assert [k for low, high in planned_steps for k in range(low, high + 1)] == list(range(1, blocks + 1))
    sizes = [high - low + 1 for low, high in planned_steps]
    assert max(sizes) - min(sizes) <= 1
    assert len(planned_steps) == min(groups or blocks, blocks)


def test_a_group_is_its_blocks(pair: Callable[[str], tuple[Encoder, Encoder]]) -> None:
    receiver, donor = pair("llama")
    hybrid_vectors = transplanted(receiver, donor, tokenise(receiver, TEXTS), ("block:1-2", "block:1", "block:1-1"))
    torch.testing.assert_close(
        hybrid_vectors["block:1-2"],
        by_hand(receiver, donor, "block:1-2", tokenise(receiver, TEXTS)),
        rtol=1e-5,
        atol=1e-5,
    )
    assert torch.equal(hybrid_vectors["block:1"], hybrid_vectors["block:1-1"])
    assert sweep(30, (), 3)[1:10] == (
        *("block:1-10", "block:11-20", "block:21-30", "top:10", "top:20", "top:30", "bottom:10", "bottom:20"),
        "bottom:30",
    )


def test_batches_change_nothing(pair: Callable[[str], tuple[Encoder, Encoder]]) -> None:
    receiver, donor = pair("llama")
    rows = tokenise(receiver, TEXTS)
    together = transplanted(receiver, donor, rows, SOME)
    alone = transplanted(receiver, donor, rows, SOME, tokens=1)
    for name in SOME:
        torch.testing.assert_close(together[name], alone[name], rtol=1e-5, atol=1e-5)


def test_a_lower_precision_rounds_the_passes(pair: Callable[[str], tuple[Encoder, Encoder]]) -> None:
    """Every hybrid in bfloat16 is near to the exact one, and of its type; products were rounded in every one."""
    receiver, donor = pair("bert")
    rows, wanted = tokenise(receiver, TEXTS), [(0, name) for name in SOME]
    exact = hybrids((receiver, donor), rows, wanted)
    rounded = hybrids((receiver, donor), rows, wanted, precision="bfloat16")
    for key, vectors in rounded.items():
        assert vectors.dtype == torch.float32
        assert not torch.equal(vectors, exact[key])
        assert torch.nn.functional.cosine_similarity(vectors, exact[key]).min() > 0.999


def test_a_planted_block_is_what_matters(tmp_path: Path) -> None:
    """Where one block alone differs, giving it back gives the vectors back, and giving others back does nothing."""
    receiver, donor = (
        load_encoder(save_toy("llama", tmp_path / n), LoadSettings(pooling="mean")) for n in ("one", "two")
    )
    with torch.no_grad():
        receiver.backbone.get_parameter("layers.1.mlp.down_proj.weight").add_(0.5)
    rows = tokenise(receiver, TEXTS)
    hybrid_vectors = transplanted(receiver, donor, rows, sweep(2))
    mended = {name for name, v in hybrid_vectors.items() if torch.allclose(v, hybrid_vectors["all"], atol=1e-6)}
    assert mended == {"block:2", "top:1", "top:2", "bottom:2", "ffn_out", "all"}
    assert all(
        torch.equal(hybrid_vectors[name], hybrid_vectors["none"])
        for name in ("block:1", "bottom:1", "norms", "embeddings")
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("block:3", r"'block:3' does not fit the model, which has 2 blocks"),
        ("block:2-1", r"'block:2-1' does not fit the model, which has 2 blocks"),
        ("top:1-2", r"'top:1-2' does not fit the model, which has 2 blocks"),
        ("top:x", r"does not fit the model, which has 2 blocks"),
        ("atention", r"unknown transplant 'atention'\n  fix: did you mean 'attention'"),
        ("interpolate:2", "needs a share of the donor from 0 to 1"),
        ("all:1", "unknown transplant"),
    ],
)
def test_names_that_are_none(name: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        named(name, 2)


def test_two_architectures(pair: Callable[[str], tuple[Encoder, Encoder]]) -> None:
    with pytest.raises(EncoderError, match=r"\d tensors of .* differ in name or shape, e\.g\."):
        transplanted(pair("bert")[0], pair("llama")[0], [[1, 2]], ("all",))


def test_models_that_compute_differently(tmp_path: Path) -> None:
    folder = save_toy("llama", tmp_path / "llama")
    one = load_encoder(folder, LoadSettings(pooling="mean"))
    both_ways = load_encoder(folder, LoadSettings(pooling="mean", causal=False))
    with pytest.raises(
        EncoderError, match=r"differ in settings that change the vectors: causal attention \(True and False\)"
    ):
        transplanted(one, both_ways, [[1, 2]], ("all",))
    half = load_encoder(folder, LoadSettings(pooling="mean", dtype="bfloat16"))
    with pytest.raises(EncoderError, match="number format"):
        transplanted(one, half, [[1, 2]], ("all",))


def test_entangled_families_exist() -> None:
    assert {toy.model_type for toy in TOYS.values()} >= ENTANGLED


def test_a_random_change_is_as_large_as_the_difference_tensor_by_tensor(
    pair: Callable[[str], tuple[Encoder, Encoder]],
) -> None:
    mine, theirs = pair("bert")
    random, back = RandomChanges((mine, theirs)), RandomChanges((theirs, mine))
    own, other = (dict(encoder.backbone.named_parameters()) for encoder in (mine, theirs))
    name = "encoder.layer.0.intermediate.dense.weight"
    difference = (other[name] - own[name]).detach()
    drawn = [random.of(draw, name) for draw in (0, 1)]
    for change in drawn:
        assert float(change.norm()) == pytest.approx(float(difference.norm()), rel=1e-6)
        cosine = torch.nn.functional.cosine_similarity(change.flatten(), difference.flatten(), dim=0)
        assert abs(float(cosine)) < 5 / difference.numel() ** 0.5, "five standard deviations of two random directions"
    assert not torch.equal(*drawn)
    assert torch.equal(random.of(0, name), back.of(0, name)), "either way, and drawn again the same"
    same = RandomChanges((mine, mine))
    assert float(same.of(0, name).norm()) == 0


def test_a_random_change_of_embeddings_is_as_large_as_the_difference_row_by_row(
    pair: Callable[[str], tuple[Encoder, Encoder]],
) -> None:
    """Rows of tokens that occur in no text stay: spread over them, the change would hardly move a vector."""
    mine, theirs = pair("bert")
    name = "embeddings.word_embeddings.weight"
    own, other = (dict(encoder.backbone.named_parameters())[name].detach() for encoder in (mine, theirs))
    kept = other.clone()
    try:
        with torch.no_grad():
            other[60:] = own[60:]
        change = RandomChanges((mine, theirs)).of(0, name)
        assert torch.equal(change[60:], torch.zeros_like(change[60:]))
        assert torch.allclose(change.norm(dim=1), (other - own).norm(dim=1), rtol=1e-5)
        assert not torch.allclose(change[0], change[1])
    finally:
        with torch.no_grad():
            other.copy_(kept)


def test_blocks_and_what_lies_outside_are_everything(pair: Callable[[str], tuple[Encoder, Encoder]]) -> None:
    receiver, donor = pair("llama")
    rows = tokenise(receiver, TEXTS)
    hybrid_vectors = transplanted(receiver, donor, rows, ["set:1-2+outside", "all", "set:1-2", "none"])
    assert torch.equal(hybrid_vectors["set:1-2+outside"], hybrid_vectors["all"])
    assert not torch.equal(hybrid_vectors["set:1-2"], hybrid_vectors["all"])
    for name, message in (("random:x:block:1", "not name a random"), ("random:0:interpolate:.5", "not name a random"),
                          ("set:9", "does not fit the model"), ("set:", "unknown transplant")):  # fmt: skip
        with pytest.raises(SettingsError, match=message):
            named(name, 2)
