"""Ablation holds what it says, on every token, in every family, and leaves nothing behind."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from retroscope.attribution.ablation import NeuronMoments, ablated, moments_of_rows, neuron_moments
from retroscope.attribution.sites import find_sites
from retroscope.attribution.size_ranking import size_ranking
from retroscope.attribution.top_neurons.selection import BY, HOWS, NeuronSet, Ranking, choose, matched, ranked, shared
from retroscope.encoders.capture import capture_calls
from retroscope.encoders.encode import encode_layers, model_inputs, pad, tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import AnalysisError, SettingsError
from synthetic_attribution import make_attribution
from toys import TEXTS, TOYS, save_toy

HOOKS = ("_forward_hooks", "_forward_pre_hooks")
NONE = NeuronSet({})
RANDOM = np.random.default_rng(0)
SIGNED = {"intermediate": RANDOM.standard_normal((2, 24)), "output": RANDOM.standard_normal((2, 16))}


@pytest.fixture(scope="module", params=TOYS)
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return toy(request.param, tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return toy("bert", tmp_path_factory.mktemp("toy"))


def toy(name: str, folder: Path) -> Encoder:
    return load_encoder(save_toy(name, folder / name), LoadSettings(pooling="mean"))


def hooks(model: nn.Module) -> int:
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in HOOKS)


def out_module(encoder: Encoder, layer: int) -> nn.Module:
    return encoder.backbone.get_submodule(encoder.anatomy.path("ffn_out", layer - 1))


def calls_of(encoder: Encoder, layer: int, text: str) -> tuple[Tensor, Tensor]:
    """What `ffn_out` of a layer reads and returns, [token, unit]; every token of a text alone is real."""
    batch = pad(encoder, tokenise(encoder, [text]))
    with torch.no_grad(), capture_calls({"out": out_module(encoder, layer)}) as calls:
        encoder.backbone(**model_inputs(encoder, batch))
    call = calls.only("out")
    return call.input.flatten(0, -2).clone(), call.value.flatten(0, -2).clone()


def test_ablating_nothing_gives_the_same_bytes(encoder: Encoder) -> None:
    intact = encode_layers(encoder, TEXTS)
    means = neuron_moments(encoder, TEXTS)
    for nothing in (NONE, NeuronSet({"intermediate": {}, "output": {1: ()}})):
        with ablated(encoder, nothing, means):
            encoded = encode_layers(encoder, TEXTS)
        assert torch.equal(encoded.layers, intact.layers)
    with ablated(encoder, NeuronSet({"output": {1: (0,)}}), None):
        assert not torch.equal(encode_layers(encoder, TEXTS).layers, intact.layers)


@pytest.mark.parametrize("how", ["mean", "zero"])
def test_what_is_held_is_held_on_every_token_and_nothing_else_is(encoder: Encoder, how: str) -> None:
    """Layer 1 gets its usual input, so that what its `ffn_out` reads and returns can be worked out by hand."""
    means = neuron_moments(encoder, TEXTS)
    h, o = (2, 5), (0, 3)
    before_in, before_out = calls_of(encoder, 1, TEXTS[3])
    neurons = NeuronSet({"intermediate": {1: h}, "output": {1: o}})
    with ablated(encoder, neurons, means if how == "mean" else None):
        _, found = calls_of(encoder, 1, TEXTS[3])
    held_in = before_in.clone()
    held_in[:, h] = torch.tensor(means.hidden_mean[0, h]).float() if how == "mean" else 0.0
    with torch.no_grad():
        held_out = out_module(encoder, 1)(held_in)
    held_out[:, o] = torch.tensor(means.output_mean[0, o]).float() if how == "mean" else 0.0
    torch.testing.assert_close(found, held_out, atol=1e-6, rtol=1e-5)  # batched and flat products round differently
    assert (found[:, o] == held_out[:, o]).all()
    assert not torch.allclose(before_out, held_out, atol=1e-3)


def test_a_neuron_that_is_constant_can_be_held_at_its_value(encoder: Encoder) -> None:
    """A hidden unit whose rows and bias are 0 is 0 on every token. The control is its neighbour, which varies."""
    still, moving, layer = 4, 5, 1
    site = next(s for s in find_sites(encoder, ("intermediate",)) if s.layer == layer)
    weight, bias = site.weight(encoder), encoder.backbone.get_submodule(site.path).bias
    kept = weight[still].clone(), None if bias is None else bias[still].clone()
    with torch.no_grad():
        weight[still] = 0
        if bias is not None:
            bias[still] = 0
    try:
        intact = encode_layers(encoder, TEXTS).layers
        means = neuron_moments(encoder, TEXTS)
        with ablated(encoder, NeuronSet({"intermediate": {layer: (still,)}}), means):
            assert torch.equal(encode_layers(encoder, TEXTS).layers, intact)
        with ablated(encoder, NeuronSet({"intermediate": {layer: (moving,)}}), means):
            assert not torch.equal(encode_layers(encoder, TEXTS).layers, intact)
    finally:
        with torch.no_grad():
            weight[still] = kept[0]
            if bias is not None:
                bias[still] = kept[1]


def test_a_constant_that_is_not_zero_is_its_own_mean_to_the_last_bit(bert: Encoder) -> None:
    """n times a float32 is exact in float64, and so is the mean of n equal values."""
    site = find_sites(bert, ("intermediate",))[1]
    weight = site.weight(bert)
    kept = weight[4].clone()
    with torch.no_grad():
        weight[4] = 0
    try:
        intact, means = encode_layers(bert, TEXTS).layers, neuron_moments(bert, TEXTS)
        assert means.hidden_mean[1, 4] != 0
        with ablated(bert, NeuronSet({"intermediate": {2: (4,)}}), means):
            assert torch.equal(encode_layers(bert, TEXTS).layers, intact)
        with ablated(bert, NeuronSet({"intermediate": {2: (4,)}}), None):
            assert not torch.equal(encode_layers(bert, TEXTS).layers, intact)
    finally:
        with torch.no_grad():
            weight[4] = kept


def test_a_planted_neuron_changes_the_vector_as_worked_out_by_hand(bert: Encoder) -> None:
    """The last block of BERT: LayerNorm(W h + b + r), its tokens averaged; W h loses W_i (h_i - held)."""
    neuron, layer = 7, 2
    block = bert.anatomy.blocks(bert.backbone)[layer - 1]
    hidden, output = calls_of(bert, layer, TEXTS[0])
    with torch.no_grad(), capture_calls({"norm": block.output.LayerNorm}) as calls:
        encode_layers(bert, TEXTS[:1])
    given = calls.only("norm").input[0]
    means = neuron_moments(bert, TEXTS)
    lost = (hidden[:, neuron] - float(means.hidden_mean[layer - 1, neuron]))[:, None] * block.output.dense.weight[
        :, neuron
    ]
    with torch.no_grad():
        by_hand = block.output.LayerNorm(given - lost).mean(0)
    intact = encode_layers(bert, TEXTS[:1]).final[0]
    with ablated(bert, NeuronSet({"intermediate": {layer: (neuron,)}}), means):
        encoded = encode_layers(bert, TEXTS[:1]).final[0]
    torch.testing.assert_close(encoded, by_hand, atol=2e-6, rtol=1e-5)
    assert (encoded - intact).abs().max() > 1e-3
    assert output.shape == given.shape


def test_up_and_intermediate_are_one_hidden_unit(tmp_path: Path) -> None:
    llama = toy("llama", tmp_path)
    rows = []
    for neurons in ({"up": {1: (3, 4)}}, {"intermediate": {1: (3, 4)}}, {"up": {1: (3,)}, "intermediate": {1: (3, 4)}}):
        with ablated(llama, NeuronSet(neurons), None):
            rows.append(encode_layers(llama, TEXTS).final)
    assert torch.equal(rows[0], rows[1])
    assert torch.equal(rows[0], rows[2])


def test_means_and_deviations_are_those_of_the_real_tokens_whatever_the_batch(encoder: Encoder) -> None:
    """Padding is in no mean: texts alone and together agree to the rounding of one forward pass."""
    rows = tokenise(encoder, TEXTS)
    together, alone = moments_of_rows(encoder, rows, 4096), moments_of_rows(encoder, rows, 1)
    read = [calls_of(encoder, 2, text) for text in TEXTS]
    for i, found in enumerate((alone.hidden_mean, alone.output_mean)):
        by_hand = torch.cat([pair[i] for pair in read]).double().mean(0).numpy()
        np.testing.assert_allclose(found[1], by_hand, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(together.hidden_mean, alone.hidden_mean, atol=1e-5, rtol=1e-4)
    np.testing.assert_allclose(together.output_mean, alone.output_mean, atol=1e-5, rtol=1e-4)
    for i, found in enumerate((alone.hidden_sd, alone.output_sd)):
        spread = torch.cat([pair[i] for pair in read]).double().std(0, correction=0).numpy()
        np.testing.assert_allclose(found[1], spread, rtol=1e-6, atol=1e-9)
    assert together.tokens == sum(map(len, rows))


def test_no_hook_is_left_by_success_or_exception(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    weight = out_module(encoder, 1).weight.clone()
    everything = NeuronSet({"intermediate": {1: (0,), 2: (1,)}, "output": {1: (0,), 2: (1,)}})
    intact = encode_layers(encoder, TEXTS).final
    before = hooks(encoder.backbone)  # transformers adds its own at the first call that asks for hidden states
    last = encoder.anatomy.blocks(encoder.backbone)[-1]
    with monkeypatch.context() as patched:
        patched.setattr(last, "forward", _fail)
        with pytest.raises(RuntimeError, match="out of memory"), ablated(encoder, everything, None):
            encode_layers(encoder, TEXTS)
    assert hooks(encoder.backbone) == before
    with ablated(encoder, everything, None):
        assert hooks(encoder.backbone) == before + 4
    assert hooks(encoder.backbone) == before
    assert torch.equal(encode_layers(encoder, TEXTS).final, intact)
    assert torch.equal(out_module(encoder, 1).weight, weight)


def _fail(*args: object, **kwargs: object) -> None:
    raise RuntimeError("out of memory")


def test_what_the_encoder_does_not_have_is_an_error(bert: Encoder) -> None:
    cases: Iterator[tuple[NeuronSet, str]] = iter(
        [
            (NeuronSet({"output": {3: (0,)}}), r"no neurons in layer 3(?s:.)*give a layer from 1 to 2"),
            (NeuronSet({"output": {1: (16,)}}), r"'output' of layer 1 has neurons 0 to 15, so there is no neuron 16"),
            (
                NeuronSet({"intermediate": {2: (3, 24)}}),
                r"'intermediate' of layer 2 has neurons 0 to 23, so there is no neuron 24",
            ),
            (NeuronSet({"output": {1: (-1,)}}), r"no neuron -1(?s:.)*attribution of this encoder"),
            (NeuronSet({"outputs": {1: (1,)}}), r"unknown part 'outputs'(?s:.)*did you mean 'output'"),
        ]
    )
    before = hooks(bert.backbone)
    for neurons, message in cases:
        with pytest.raises(SettingsError, match=message), ablated(bert, neurons, None):
            pytest.fail("the context must not open")
    assert hooks(bert.backbone) == before


def test_means_of_another_encoder_and_of_no_text_are_errors(bert: Encoder) -> None:
    other = NeuronMoments(*(np.zeros((2, n)) for n in (23, 16, 23, 16)), 1)
    with (
        pytest.raises(
            SettingsError,
            match=r"shapes \(2, 23\) and \(2, 16\), .* 2 layers of 24 hidden and 16 out",
        ),
        ablated(bert, NONE, other),
    ):
        pytest.fail("the context must not open")
    with pytest.raises(AnalysisError, match="no text was given to compute the mean of every neuron"):
        neuron_moments(bert, [])


BOTH = ("intermediate", "output")


def histogram(neurons: NeuronSet) -> Counter[tuple[str, int]]:
    return Counter({(p, k): len(some) for p, layers in neurons.neurons.items() for k, some in layers.items()})


@pytest.mark.parametrize("by", BY)
@given(fraction=st.floats(0.001, 1.0), seed=st.integers(0, 5))
def test_the_three_choices_have_one_histogram(by: str, fraction: float, seed: int) -> None:
    ranking = ranked(make_attribution(SIGNED), by, BOTH)
    sets = [choose(ranking, fraction, how, seed) for how in HOWS]
    assert [len(some) for some in sets] == [max(1, int(fraction * 80 + 0.5))] * 3
    assert histogram(sets[0]) == histogram(sets[1]) == histogram(sets[2])
    for some in sets:
        for layers in some.neurons.values():
            assert all(list(picked) == sorted(set(picked)) for picked in layers.values())


def test_a_matched_set_has_the_histogram_of_the_top_and_its_own_ranking() -> None:
    ranking = ranked(make_attribution(SIGNED), "share", BOTH)
    other = ranked(make_attribution({k: -v for k, v in SIGNED.items()}), "signed", BOTH)
    top = choose(ranking, 0.2, "top")
    chosen_sets = matched(other, top)
    assert histogram(chosen_sets) == histogram(top)
    for (part, layer), values in zip(other.sites, other.values, strict=True):
        held = set(chosen_sets.neurons.get(part, {}).get(layer, ()))
        rest = [values[i] for i in range(len(values)) if i not in held]
        assert not held or not rest or min(values[i] for i in held) >= max(rest)
    assert matched(ranking, top) == top
    assert shared(top, top) == 1
    assert shared(top, NeuronSet({"intermediate": {1: top.neurons["intermediate"][1][:1]}})) == 1 / len(top)


@pytest.mark.parametrize("at_mean", [True, False])
def test_size_is_what_fixing_a_neuron_changes_in_what_its_block_writes(encoder: Encoder, at_mean: bool) -> None:
    """Fixed alone, in the first block, by root mean square over the tokens; worked out from what `ffn_out` returns."""
    moments = neuron_moments(encoder, TEXTS)
    ranking = Ranking("share", (("intermediate", 1), ("output", 1)), (np.zeros(24), np.zeros(16)))
    sizes = size_ranking(encoder, moments, ranking, at_mean=at_mean).values
    for part, neuron, found in (("intermediate", 3, sizes[0][3]), ("output", 5, sizes[1][5])):
        change = []
        for text in TEXTS:
            intact = calls_of(encoder, 1, text)[1]
            with ablated(encoder, NeuronSet({part: {1: (neuron,)}}), moments if at_mean else None):
                change.append((calls_of(encoder, 1, text)[1] - intact).double())
        rms = torch.cat(change).pow(2).sum(1).mean().sqrt()
        assert found == pytest.approx(float(rms), rel=1e-3)


def test_top_has_the_largest_values_and_bottom_the_smallest_sizes() -> None:
    signed = {"intermediate": np.array([[5.0, -9.0, 0.1, 1.0], [4.0, -0.2, 3.0, 2.0]])}
    ranking = ranked(make_attribution(signed), "signed")
    assert choose(ranking, 3 / 8, "top").neurons == {"intermediate": {1: (0,), 2: (0, 2)}}
    assert choose(ranking, 3 / 8, "bottom").neurons == {"intermediate": {1: (2,), 2: (1, 3)}}
    by_size = ranked(make_attribution(signed), "magnitude")
    assert choose(by_size, 3 / 8, "top").neurons == {"intermediate": {1: (0, 1), 2: (0,)}}


def test_random_sets_differ_by_seed_grow_with_the_fraction_and_are_uniform() -> None:
    """Of 24 + 24 + 16 + 16 neurons; each neuron of a site is drawn equally often (binomial, five errors)."""
    ranking = ranked(make_attribution(SIGNED), "signed", BOTH)
    assert choose(ranking, 0.2, "random", 1) == choose(ranking, 0.2, "random", 1)
    assert choose(ranking, 0.2, "random", 1) != choose(ranking, 0.2, "random", 2)
    small, large = (flat(choose(ranking, f, "random", 1)) for f in (0.1, 0.4))
    assert small < large
    drawn, draws = Counter[tuple[str, int, int]](), 800
    for seed in range(draws):
        drawn.update(flat(choose(ranking, 0.2, "random", seed)))
    for (part, layer), n in histogram(choose(ranking, 0.2, "top")).items():
        size = SIGNED[part].shape[1]
        p = n / size
        counts = np.array([drawn[part, layer, i] for i in range(size)])
        assert np.abs(counts - draws * p).max() < 5 * np.sqrt(draws * p * (1 - p))


def flat(neurons: NeuronSet) -> set[tuple[str, int, int]]:
    return {(p, k, i) for p, layers in neurons.neurons.items() for k, some in layers.items() for i in some}


def test_parts_are_those_asked_for_else_one() -> None:
    three = make_attribution({**SIGNED, "up": SIGNED["intermediate"]})
    assert {part for part, _ in ranked(three, "signed").sites} == {"intermediate"}
    assert {part for part, _ in ranked(make_attribution({"output": SIGNED["output"]}), "signed").sites} == {"output"}
    both = ranked(three, "signed", BOTH)
    assert {part for part, _ in both.sites} == {"intermediate", "output"}
    assert ranked(three, "signed", ("up",)).sites == (("up", 1), ("up", 2))
    with pytest.raises(
        SettingsError, match=r"'intermediate' and 'up' name the same hidden units(?s:.)*one of these two parts"
    ):
        ranked(three, "signed", ("intermediate", "up"))


def test_mistakes_in_a_choice_say_what_to_do() -> None:
    attribution = make_attribution(SIGNED)
    with pytest.raises(SettingsError, match=r"unknown ranking 'sign'(?s:.)*did you mean 'signed'"):
        ranked(attribution, "sign")
    with pytest.raises(SettingsError, match=r"unknown attributed part 'up'(?s:.)*intermediate, output"):
        ranked(attribution, "signed", ("up",))
    ranking = ranked(attribution, "signed")
    with pytest.raises(SettingsError, match=r"fraction is 1.5(?s:.)*above 0 and at most 1"):
        choose(ranking, 1.5, "top")
    with pytest.raises(SettingsError, match=r"unknown choice of neurons 'tops'(?s:.)*did you mean 'top'"):
        choose(ranking, 0.1, "tops")
    noise = make_attribution(SIGNED)
    noise.neurons["output"]["share"][:] = np.nan
    with pytest.raises(AnalysisError, match=r"32 neurons have no finite value of 'share'(?s:.)*rank by 'magnitude'"):
        ranked(noise, "share", BOTH)
