"""What every attribution method must obey, on every family."""

import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles import apart, check_same, limit, parts, scores, toy, work
from torch import Tensor, nn

from retroscope.attribution.attribute import attribute_neurons, plan_attribution
from retroscope.attribution.examples import Example
from retroscope.attribution.integrals.methods import COMPLETE_OVER, METHODS, gaps
from retroscope.attribution.integrals.paths import Values, relative_gap, together
from retroscope.attribution.objective import Objective, norms
from retroscope.attribution.settings import METHOD_NAMES, AttributionSettings
from retroscope.attribution.sites import find_sites
from retroscope.encoders.capture import rewrite_outputs
from retroscope.encoders.encode import tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.errors import SettingsError
from toys import TEXTS, TOYS

SHAPES = ("bert", "modernbert", "llama", "gpt2", "opt", "t5")  # one family for each way to build an FFN
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def test_every_method_has_a_name() -> None:
    assert tuple(METHODS) == METHOD_NAMES == tuple(COMPLETE_OVER)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", TOYS)
def test_neither_padding_nor_company_nor_memory_change_a_result(name: str, method: str) -> None:
    encoder = toy(name)
    rows = tokenise(encoder, TEXTS[:3])
    asked = scores(encoder, 3)
    expected = METHODS[method](work(encoder, rows, objective=asked))
    padded = work(encoder, rows, objective=asked, side="left", extra=3, at_once=3)  # both nodes of a text, not of two
    check_same(encoder, METHODS[method](padded), expected)
    alone = [
        METHODS[method](work(encoder, [row], objective=asked.only([i]), extra=i, at_once=1))
        for i, row in enumerate(rows)
    ]
    check_same(encoder, joined(alone), expected)


def joined(alone: Sequence[Values]) -> Values:
    """The results of single examples as one."""
    names = type(next(iter(alone[0].values()))).__dataclass_fields__
    return {
        site: replace(values, **{name: torch.cat([getattr(one[site], name) for one in alone]) for name in names})
        for site, values in alone[0].items()
    }


@pytest.mark.parametrize("at_once", [2, 3, 8])
@pytest.mark.parametrize("method", METHODS)
def test_no_more_rows_run_at_once_than_there_is_memory_for(method: str, at_once: int) -> None:
    """Rows whose graph is kept: (text, node) pairs; the two texts of a margin count as two."""
    encoder = toy("bert")
    query = scores(encoder, 4)
    asked = replace(query, sign=torch.tensor([1.0, -1.0, 1.0, -1.0]), example=torch.tensor([0, 0, 1, 1]))
    rows: list[int] = []

    def count(name: str, output: Tensor) -> Tensor:
        rows.extend([len(output)] * torch.is_grad_enabled())
        return output

    last = encoder.backbone.get_submodule("encoder.layer.1.output")
    with rewrite_outputs({"last": last}, count):
        METHODS[method](work(encoder, tokenise(encoder, TEXTS), objective=asked, rule="gauss:4", at_once=at_once))
    fewest = 4 if method == "activation_x_gradient" else 16  # that there are: four texts, and four nodes or more
    assert min(at_once, fewest) / 2 < max(rows) <= at_once


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SHAPES)
def test_twice_the_score_is_twice_the_attribution_to_the_last_bit(name: str, method: str) -> None:
    """Doubling is exact in floating point, and F's slope is linear in F."""
    encoder = toy(name)
    once, minus = scores(encoder, 3), scores(encoder, 3)
    twice = replace(once, other=2 * once.other)
    minus = replace(once, sign=-once.sign)
    one, two, less = (METHODS[method](work(encoder, objective=asked)) for asked in (once, twice, minus))
    for site, values in one.items():
        assert torch.equal(two[site].magnitude, 2 * values.magnitude)
        assert torch.equal(two[site].signed, 2 * values.signed)
        assert torch.equal(less[site].magnitude, values.magnitude)
        assert torch.equal(less[site].signed, -values.signed)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SHAPES)
def test_attributions_of_a_difference_are_the_difference_of_attributions(name: str, method: str) -> None:
    """The query tower's margin: q (p+ - p-); signed values are linear in F, magnitudes are not."""
    encoder = toy(name)
    a, b = (scores(encoder, 3, seed) for seed in (1, 2))
    of_a, of_b, of_both = (
        METHODS[method](work(encoder, objective=replace(a, other=other)))
        for other in (a.other, b.other, a.other - b.other)
    )
    for site, values in of_both.items():
        scale = of_a[site].signed.abs().max() + of_b[site].signed.abs().max()
        assert (values.signed - (of_a[site].signed - of_b[site].signed)).abs().max() <= limit(encoder) * scale
        assert apart(values.magnitude, of_a[site].magnitude - of_b[site].magnitude) > 0.1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SHAPES)
def test_a_site_that_cannot_reach_the_output_gets_exactly_nothing(name: str, method: str) -> None:
    encoder = silenced(toy(name))
    values = METHODS[method](work(encoder))
    for site, value in values.items():
        dead = site.layer == 2
        assert bool((value.magnitude == 0).all()) is dead, site
        assert bool((value.signed == 0).all()) is dead, site
        if dead and method == "weight_path":
            assert torch.equal(relative_gap(value), torch.zeros(3, dtype=torch.float64))


@torch.no_grad()
def silenced(encoder: Encoder) -> Encoder:
    """The encoder with the last block's narrowing matrix set to zero: nothing of its FFN gets out."""
    backbone = deepcopy(encoder.backbone)
    for parameter in backbone.get_submodule(encoder.anatomy.path("ffn_out", 1)).parameters():
        parameter.zero_()
    return replace(encoder, backbone=backbone)


@pytest.mark.parametrize("method", [name for name, over in COMPLETE_OVER.items() if over])
@pytest.mark.parametrize("name", TOYS)
def test_auto_reaches_its_tolerance(name: str, method: str) -> None:
    encoder = toy(name)
    values = METHODS[method](work(encoder, rule="auto:0.001"))
    whole = values.values() if COMPLETE_OVER[method] == "each site" else [together(values)]
    assert max(float(relative_gap(v).max()) for v in whole) <= 0.001
    few = METHODS[method](work(encoder, rule="gauss:4"))
    for site, value in values.items():
        assert {int(n) for n in value.nodes} <= {4, 8, 16, 32, 64, 128, 256, 512}
        for example in (value.nodes == 4).nonzero().flatten().tolist():  # satisfied at once: left as it was
            assert torch.equal(value.signed[example], few[site].signed[example])


ROUGH = ("gte",)  # a gated FFN with GELU: 16 nodes leave twice the rounding, 32 a hundredth of it


@pytest.mark.parametrize("name", [name for name, toy in TOYS.items() if not toy.post_norm and name not in ROUGH])
def test_sixteen_nodes_are_complete_where_a_layer_norm_follows_a_sum(name: str) -> None:
    """BERT-like: the residual keeps the norm's input away from zero, so F is smooth along the path.

    The rounding of F(1) - F(0) is a share of F, that of the gap one of the values' size.
    """
    encoder = toy(name)
    for method in ("weight_path", "joint_path"):
        values = METHODS[method](work(encoder, rule="gauss:16"))
        for attributed in values.values() if method == "weight_path" else [together(values)]:
            change = attributed.end - attributed.start
            rounding = limit(encoder) * (attributed.signed.abs().sum(1) + attributed.end.abs())
            assert ((attributed.signed.sum(1) - change).abs() <= rounding).all()
            assert (change.abs() > 100 * rounding).any()


@pytest.mark.parametrize("method", METHODS)
def test_the_gap_is_of_what_the_method_is_complete_over(method: str) -> None:
    values = METHODS[method](work(toy("bert"), rule="gauss:8"))
    attributed = torch.stack(list(gaps(method, values).values()))
    assert attributed.shape == (len(values), 3)
    if COMPLETE_OVER[method] is None:
        assert attributed.isnan().all()
    else:
        assert (attributed <= 1e-3).all()
    if method == "joint_path":  # control: a single site of a joint path misses F(1) - F(0) by far
        assert min(float(relative_gap(one).min()) for one in values.values()) > 0.01


@pytest.mark.parametrize("method", METHODS)
def test_a_whole_attribution_by_any_method(method: str) -> None:
    """The driver: statistics, aggregates and recipe, and no alarm about a completeness that is not claimed."""
    settings = AttributionSettings(method=method, target="score", quadrature="gauss:8")
    others = scores(toy("bert"), 4).other
    examples = [
        Example(str(i), (text,), (1.0,), (other,)) for i, (text, other) in enumerate(zip(TEXTS, others, strict=True))
    ]
    attribution = attribute_neurons(plan_attribution(toy("bert"), examples, settings))
    gap = attribution.scores.values.sel(statistic="gap").values
    assert attribution.noise == 0
    assert not any("complete" in warning for warning in attribution.warnings)
    assert json.dumps(dict(attribution.recipe), allow_nan=False, default=str)
    assert np.isnan(gap).all() if COMPLETE_OVER[method] is None else (gap <= 1e-3).all()
    assert all(np.isfinite(attribution.neurons[part]["share"].values).all() for part in attribution.parts)


def test_without_a_path_there_is_no_gap() -> None:
    """NaN, and not 0, which would say that the values are complete."""
    for attributed in METHODS["activation_x_gradient"](work(toy("bert"))).values():
        assert relative_gap(attributed).isnan().all()


@pytest.mark.parametrize("method", ["conductance", "activation_x_gradient"])
def test_what_is_not_complete_cannot_be_refined(method: str) -> None:
    with pytest.raises(SettingsError, match=rf"method '{method}' has no completeness gap(.|\n)*gauss:16"):
        METHODS[method](work(toy("bert"), rule="auto:0.01"))


def test_noise_is_not_refined_for_ever() -> None:
    """Behind a last layer norm the norm of a [CLS] vector hardly changes: beyond rounding there is nothing to find."""
    encoder = flat(toy("bert"))
    asked = work(encoder, objective=norms(TEXTS[:3], encoder.device), rule="auto:1e-9")
    for method in ("weight_path", "joint_path"):
        for attributed in METHODS[method](asked).values():
            assert (attributed.spread <= 1e-5 * attributed.end).all()
            assert attributed.nodes.max() == 4


@torch.no_grad()
def flat(encoder: Encoder) -> Encoder:
    """[CLS] pooling behind a layer norm without weights: every vector has the same length."""
    backbone = deepcopy(encoder.backbone)
    norm = backbone.get_submodule("encoder.layer.1.output.LayerNorm")
    norm.weight.fill_(1)
    norm.bias.zero_()
    return replace(encoder, backbone=backbone, recipe=encoder.recipe.but("test", pooling="cls"))


@pytest.mark.parametrize("method", METHODS)
def test_only_the_sites_asked_for_are_scaled(method: str) -> None:
    """Of the two halves of a fused gate, too."""
    encoder = toy("modernbert")
    every = METHODS[method](work(encoder))
    for part in parts(encoder):
        some = METHODS[method](work(encoder, sites=find_sites(encoder, (part,))))
        assert {site.part for site in some} == {part}
        for site, values in some.items():
            same = apart(values.signed, every[site].signed) <= limit(encoder)
            assert same is (method != "joint_path")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SHAPES)
def test_half_precision_is_near(name: str, method: str) -> None:
    """By autocast, and with weights stored so.

    bfloat16 rounds to 2^-8; values and slopes each pass about a dozen roundings on their way.
    """
    encoder = toy(name)
    exact = METHODS[method](work(encoder, rule="gauss:4"))
    stored = replace(encoder, backbone=deepcopy(encoder.backbone).to(torch.bfloat16))
    for asked in (work(encoder, precision="bfloat16", rule="gauss:4"), work(stored, rule="gauss:4")):
        half = METHODS[method](asked)
        for site, values in exact.items():
            assert half[site].magnitude.dtype == torch.float32
            error = (half[site].magnitude - values.magnitude).abs().sum() / values.magnitude.sum()
            assert 0 < error <= 24 * 2**-8, (site, error)


def state(model: nn.Module) -> list[bytes]:
    return [p.detach().contiguous().view(torch.uint8).numpy().tobytes() for p in model.state_dict().values()]


def traces_of_work(model: nn.Module) -> int:
    """Hooks, replaced forwards, gradients and wishes for them."""
    hooks = sum(len(getattr(module, kind)) for module in model.modules() for kind in HOOKS)
    forwards = sum("forward" in vars(module) for module in model.modules())
    return hooks + forwards + sum(p.requires_grad or p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", TOYS)
def test_the_model_is_left_as_it_was(name: str, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = toy(name)
    METHODS[method](work(encoder, rule="gauss:1"))  # transformers keeps hooks of its own from the first call on
    before, weights = traces_of_work(encoder.backbone), state(encoder.backbone)
    METHODS[method](work(encoder, rule="gauss:1"))
    assert traces_of_work(encoder.backbone) == before
    monkeypatch.setattr(Objective, "of_texts", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        METHODS[method](work(encoder, rule="gauss:1"))
    assert traces_of_work(encoder.backbone) == before
    assert state(encoder.backbone) == weights


def fail(*args: object) -> None:
    raise RuntimeError("out of memory")
