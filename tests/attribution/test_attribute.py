"""The driver: what it says depends on the texts and the settings, and on nothing about how it was run."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from retroscope.attribution import aggregate, attribute
from retroscope.attribution.attribute import attribute_neurons, plan_attribution, rounding
from retroscope.attribution.examples import Example, text_examples
from retroscope.attribution.integrals.methods import METHODS
from retroscope.attribution.integrals.paths import Values, Work
from retroscope.attribution.memory import graph_memory
from retroscope.attribution.plan import AttributionPlan
from retroscope.attribution.result import NeuronAttribution, active
from retroscope.attribution.settings import AttributionSettings
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import AnalysisError, SettingsError
from toys import TEXTS, save_toy

SETTINGS = AttributionSettings(target="score", quadrature="gauss:4", thresholds=(0.1, 0.5))
SENTENCES = (*TEXTS, "The red book about rivers.", "Who floods the mat?", "Stars.", "A moon is a star is a cat.")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = save_toy("bert", tmp_path_factory.mktemp("toy") / "bert")
    return load_encoder(folder, LoadSettings(pooling="mean"))


def examples_of(encoder: Encoder, texts: Sequence[str] = SENTENCES) -> list[Example]:
    random = torch.Generator().manual_seed(0)
    dim = encoder.backbone.config.hidden_size
    return [Example(f"q{i}", (text,), (1.0,), (torch.randn(dim, generator=random),)) for i, text in enumerate(texts)]


def planned(encoder: Encoder, **changes: object) -> AttributionPlan:
    return plan_attribution(encoder, examples_of(encoder), replace(SETTINGS, **changes))


def assert_same_bits(one: NeuronAttribution, other: NeuronAttribution) -> None:
    assert one.scores.values.identical(other.scores.values)
    for part in one.parts:
        assert one.neurons[part].identical(other.neurons[part])


def assert_near(one: NeuronAttribution, other: NeuronAttribution, encoder: Encoder) -> None:
    """Up to what another batch shape may do: gradients go through as many roundings again as vectors do."""
    limit = 10 * rounding(encoder, SETTINGS)
    for part in one.parts:
        for name in ("mean", "signed", "half_signed"):
            a, b = (x.neurons[part][name].values for x in (one, other))
            assert np.abs(a - b).max() <= limit * np.abs(a).max(), (part, name)


class Interrupted(Exception):
    pass


def test_an_interrupted_run_goes_on_and_ends_with_the_same_bits(
    bert: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attribute, "SAVE_EVERY", -1.0)
    monkeypatch.setitem(attribute.SCALED_COPIES, "cpu", 64)
    plan = planned(bert, batch_size=1)
    whole = attribute_neurons(plan)

    def stop(done: int, total: int) -> None:
        if done >= 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        attribute_neurons(plan, tmp_path, stop)
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json", ".lock", ".npz"]
    resumed: list[int] = []
    again = attribute_neurons(plan, tmp_path, lambda done, total: resumed.append(done))
    assert resumed == [3, 4, 5, 6, 7, 8]
    assert_same_bits(whole, again)
    assert_same_bits(whole, attribute_neurons(plan, tmp_path, lambda done, total: resumed.append(done)))
    assert resumed[6:] == [8]  # the finished state was taken, and nothing ran


def test_a_state_of_other_settings_is_not_taken(bert: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribute, "SAVE_EVERY", -1.0)

    def stop(done: int, total: int) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        attribute_neurons(planned(bert, batch_size=1), tmp_path, stop)
    resumed: list[int] = []
    attribute_neurons(
        planned(bert, batch_size=1, quadrature="gauss:5"), tmp_path, lambda done, total: resumed.append(done)
    )
    assert resumed[:2] == [0, 1]


def test_a_damaged_state_is_made_again(bert: Encoder, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plan = planned(bert)
    state = tmp_path / f"neurons-{plan.key[:32]}.npz"
    result = attribute_neurons(plan, tmp_path)
    whole = state.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    for damaged in (b"PK not really", whole[: len(whole) // 2], bytes(flipped)):
        state.write_bytes(damaged)
        caplog.clear()
        assert_same_bits(result, attribute_neurons(plan, tmp_path))
        assert (
            f"{state}: this file is damaged: its content does not match its checksum; it is computed again"
            in caplog.text
        )
        assert state.read_bytes() == whole


def test_the_folder_of_the_state_is_made(bert: Encoder, tmp_path: Path) -> None:
    attribute_neurons(planned(bert), tmp_path / "not" / "there")
    assert list((tmp_path / "not" / "there").glob("*.npz"))


@pytest.mark.parametrize("changes", [{"batch_size": 1}, {"batch_size": 3}, {"batch_size": 8}, {"memory": 1}])
def test_neither_batches_nor_the_budget_change_a_result(bert: Encoder, changes: dict[str, int]) -> None:
    assert_near(attribute_neurons(planned(bert)), attribute_neurons(planned(bert, **changes)), bert)


def test_a_budget_is_kept_as_far_as_one_text_allows(bert: Encoder) -> None:
    wide, narrow = planned(bert), planned(bert, memory=1)
    assert narrow.row_tokens == max(len(rows[0]) for rows in narrow.tokens) < wide.row_tokens
    half = planned(bert, memory=wide.bytes // 2)
    assert half.bytes <= wide.bytes // 2


def test_what_a_graph_keeps_is_tallied(bert: Encoder) -> None:
    """Twice the tokens keep twice the bytes; when the graph is gone nothing is kept."""
    layer = torch.nn.Linear(8, 8)
    sizes = []
    for rows in (4, 8):
        with graph_memory(layer) as tally:
            x = torch.randn(rows, 8, requires_grad=True)
            y = layer(x).exp()
            z = y.sum()
            del x, y, z
        sizes.append(tally.peak)
        assert tally.live == 0
    assert sizes[1] == 2 * sizes[0] > 0


def test_where_memory_runs_out_less_runs_at_once(bert: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, tried = planned(bert, batch_size=8), []
    real = METHODS["weight_path"]

    def scarce(work: Work) -> Values:
        tried.append(work.rows)
        if work.rows > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(work)

    expected = attribute_neurons(plan)
    monkeypatch.setitem(METHODS, "weight_path", scarce)
    attribution = attribute_neurons(plan)
    assert tried[-1] <= 4 < tried[0]
    assert_near(expected, attribution, bert)


def test_where_the_recorded_pass_is_too_large_the_batch_is_split(
    bert: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are of no help there: the record of a batch's texts stands beside them."""
    plan, real = planned(bert, batch_size=8), METHODS["weight_path"]
    expected = attribute_neurons(plan)

    def scarce(work: Work) -> Values:
        if len(work.batch.ids) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(work)

    monkeypatch.setitem(METHODS, "weight_path", scarce)
    assert_near(expected, attribute_neurons(plan), bert)


def test_a_example_that_is_not_finite_counts_nowhere(bert: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, real = planned(bert, batch_size=1), METHODS["weight_path"]
    kept = [i for i in range(len(SENTENCES)) if i != 2]
    examples = examples_of(bert)
    alone = attribute_neurons(plan_attribution(bert, [examples[i] for i in kept], replace(SETTINGS, batch_size=1)))
    calls: list[int] = []

    def overflowing(work: Work) -> Values:
        values = real(work)
        calls.append(1)
        if len(calls) == 3:
            next(iter(values.values())).magnitude[0, 0] = torch.inf
        return values

    monkeypatch.setitem(METHODS, "weight_path", overflowing)
    attribution = attribute_neurons(plan)
    assert attribution.recipe["lost"] == 1
    assert any("not finite" in w for w in attribution.warnings)
    assert np.isnan(attribution.scores.values.sel(query="q2")).all()
    for part in attribution.parts:
        np.testing.assert_allclose(attribution.neurons[part]["mean"], alone.neurons[part]["mean"], rtol=1e-6)


def test_concentration_and_gap_of_noise_are_not_said(bert: Encoder) -> None:
    backbone = load_like(bert)
    norm = backbone.backbone.encoder.layer[-1].output.LayerNorm
    with torch.no_grad():
        norm.weight.fill_(1.0)
        norm.bias.zero_()
    cls = replace(backbone, recipe=backbone.recipe.but("test", pooling="cls"))
    attribution = attribute_neurons(
        plan_attribution(cls, text_examples(SENTENCES, SENTENCES), replace(SETTINGS, target="norm"))
    )
    for statistic in ("gap", "gini", "participation", "top_1%"):
        assert np.isnan(attribution.scores.values.sel(statistic=statistic)).all()
    assert attribution.recipe["gap_median"] is None
    assert not any("path integral is inaccurate" in w for w in attribution.warnings)


def test_where_not_even_one_text_fits_it_says_so(bert: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned(bert)

    def none(work: Work) -> Values:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate")

    monkeypatch.setitem(METHODS, "weight_path", none)
    with pytest.raises(AnalysisError, match="a single example"):
        attribute_neurons(plan)


def test_other_errors_are_not_taken_for_memory(bert: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned(bert)

    def wrong(work: Work) -> Values:
        raise RuntimeError("shapes do not match")

    monkeypatch.setitem(METHODS, "weight_path", wrong)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        attribute_neurons(plan)


def test_signed_values_sum_to_the_change_within_the_stated_gap(bert: Encoder) -> None:
    attribution = attribute_neurons(planned(bert, quadrature="auto:0.0001"))
    mean = attribution.scores.mean()
    for part in attribution.parts:
        total = attribution.neurons[part]["signed"].sum("neuron")
        change = mean.sel(statistic="change", part=part)
        sizes = attribution.scores.values.sel(statistic="total", part=part)
        gap = attribution.scores.values.sel(statistic="gap", part=part)
        assert bool((abs(total - change) <= (gap * sizes).mean("query") + 1e-6).all())
    assert attribution.recipe["gap_largest"] <= 1e-4
    assert set(np.unique(attribution.scores.values.sel(statistic="nodes"))) <= {4.0, 8.0, 16.0, 32.0, 64.0}


def test_counts_are_of_shares_of_the_largest_over_all_sites(bert: Encoder) -> None:
    """Against a count by hand, from the magnitudes of every example alone."""
    attribution = attribute_neurons(planned(bert, batch_size=1))
    counts = {part: np.zeros(attribution.neurons[part]["mean"].shape, dtype=int) for part in attribution.parts}
    for example in examples_of(bert):
        alone = attribute_neurons(plan_attribution(bert, [example], replace(SETTINGS, batch_size=1)))
        largest = max(float(alone.neurons[part]["mean"].max()) for part in alone.parts)
        for part in alone.parts:
            counts[part] += alone.neurons[part]["mean"].values.astype(np.float32) >= np.float32(0.1) * np.float32(
                largest
            )
    for part in attribution.parts:
        assert np.array_equal(attribution.neurons[part]["count"].sel(threshold=0.1).values, counts[part])
        width = attribution.neurons[part].sizes["neuron"]
        share = attribution.scores.values.sel(statistic=active(0.1), part=part).sum("query") * width
        np.testing.assert_allclose(share, counts[part].sum(1))


def test_halves_are_halves(bert: Encoder) -> None:
    attribution = attribute_neurons(planned(bert))
    for part in attribution.parts:
        np.testing.assert_allclose(
            attribution.neurons[part]["half_signed"].mean("half"),
            attribution.neurons[part]["signed"],
            rtol=1e-9,
            atol=1e-12,
        )


def test_quantiles_are_within_half_a_bin() -> None:
    """Shares drawn log-uniformly: the quantile of the bins is within 3.7 % of that of the values."""
    random = np.random.default_rng(0)
    share = torch.from_numpy(np.exp(random.uniform(np.log(1e-3), 0, (999, 5))))
    bins = np.zeros((5, aggregate.BINS + 1), dtype=np.int32)
    aggregate._add_bins(bins, share)
    for q in (0.1, 0.5, 0.99):
        quantiles = aggregate.quantiles_of(bins[None], (q,))[0, 0]
        exact = np.quantile(share.numpy(), q, axis=0, method="inverted_cdf")
        assert np.abs(np.log(quantiles / exact)).max() <= np.log(1 / aggregate.SMALLEST) / aggregate.BINS / 2 + 1e-9


def test_a_norm_behind_a_layer_norm_is_noise_and_is_said_to_be(bert: Encoder) -> None:
    """CLS behind a LayerNorm without gain or shift has the length sqrt(dim), whatever the text."""
    backbone = load_like(bert)
    norm = backbone.backbone.encoder.layer[-1].output.LayerNorm
    with torch.no_grad():
        norm.weight.fill_(1.0)
        norm.bias.zero_()
    cls = replace(backbone, recipe=backbone.recipe.but("test", pooling="cls"))
    settings = replace(SETTINGS, target="norm")
    attribution = attribute_neurons(plan_attribution(cls, text_examples(SENTENCES, SENTENCES), settings))
    assert attribution.noise == attribution.examples == len(SENTENCES)
    assert any(w.startswith("noise") for w in attribution.warnings)
    assert any("nearly the same for all texts" in w for w in attribution.warnings)
    assert not attribution.neurons["intermediate"]["count"].any()
    assert np.isnan(attribution.scores.values.sel(statistic=active(0.1))).all()
    assert np.isnan(attribution.neurons["intermediate"]["share"]).all()


def test_a_norm_that_moves_is_not_noise(bert: Encoder) -> None:
    settings = replace(SETTINGS, target="norm")
    attribution = attribute_neurons(plan_attribution(bert, text_examples(SENTENCES, SENTENCES), settings))
    assert attribution.noise == 0
    assert attribution.warnings == ()


def load_like(encoder: Encoder) -> Encoder:
    return load_encoder(Path(encoder.proof.source), LoadSettings(pooling="mean"))


def test_too_few_nodes_are_said(bert: Encoder) -> None:
    attribution = attribute_neurons(planned(bert, quadrature="trapezoid:2"))
    assert any("path integral is inaccurate" in w for w in attribution.warnings)


def test_equal_texts_are_one_example() -> None:
    assert [example.id for example in text_examples(["a", "b", "c"], ["x", "y", "x"])] == ["a", "b"]


def test_nothing_to_attribute_is_an_error(bert: Encoder) -> None:
    with pytest.raises(AnalysisError, match="no text or query was given to attribute"):
        plan_attribution(bert, [], SETTINGS)


def test_lower_precision_says_what_it_costs(bert: Encoder) -> None:
    attribution = attribute_neurons(planned(bert, precision="bfloat16"))
    assert 0 < attribution.recipe["precision_effect"] < 0.1
    assert attribute_neurons(planned(bert)).recipe["precision_effect"] is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": "weightpath"}, "did you mean 'weight_path'"),
        ({"target": "nrom"}, "did you mean 'norm'"),
        ({"tower": "doc"}, "unknown tower"),
        ({"quadrature": "gauss"}, "number of nodes"),
        ({"parts": ("gate",)}, "unknown part"),
        ({"parts": ()}, "at least one"),
        ({"thresholds": (0.1, 0.1)}, "repeats a value(?s:.)*each value once"),
        ({"thresholds": (1.5,)}, "thresholds is 1.5"),
        ({"limit": -1}, "limit is -1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"precision": "fp8"}, "unknown precision"),
    ],
)
def test_wrong_settings_say_what_is_right(changes: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        AttributionSettings(**changes)
