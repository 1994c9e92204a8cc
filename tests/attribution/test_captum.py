"""captum as the oracle, wherever it computes the same quantity.

- `IntegratedGradients` over W and b of a matrix, from zero, is the weight path; over all matrices, the joint path.
- `IntegratedGradients` over what a matrix gives is the signed weight path.
- `LayerConductance` takes the left sum along the path; the mean of it and of the sum from the other end is ours, but
  on the first step, where ours is the sum from the other end.
- `LayerGradientXActivation` is activation times gradient.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from captum.attr import IntegratedGradients, LayerConductance, LayerGradientXActivation
from oracles import Pair, apart, check_equal, limit, scores, toy, work
from torch import Tensor
from torch.func import functional_call

from retroscope.attribution.integrals.activation import activation_x_gradient
from retroscope.attribution.integrals.conductance import conductance, partition
from retroscope.attribution.integrals.joint_path import joint_path
from retroscope.attribution.integrals.paths import Work
from retroscope.attribution.integrals.quadrature import gauss, trapezoid
from retroscope.attribution.integrals.trace import Trace, pool, run_from, trace
from retroscope.attribution.integrals.weight_path import weight_path
from retroscope.attribution.sites import Site
from retroscope.encoders.capture import rewrite_inputs
from retroscope.encoders.encode import Batch, model_inputs
from toys import TOYS

WHOLE = ("bert", "roberta", "deberta-v2", "llama", "qwen2", "gpt_neox", "t5", "t5-gated")  # one matrix a module
NODES = 3


def value(asked: Work, text: int) -> Callable[[dict[str, Tensor]], Tensor]:
    """Parameters -> F of one text of the batch."""
    encoder, chosen = asked.encoder, torch.tensor([text])
    batch = Batch(asked.batch.ids[chosen], asked.batch.mask[chosen], asked.batch.pooled[chosen])
    inputs = {**model_inputs(encoder, batch), "output_hidden_states": True}

    def of(parameters: dict[str, Tensor]) -> Tensor:
        hidden = functional_call(encoder.backbone, parameters, (), inputs).hidden_states[-1]
        return asked.objective.of_texts(encoder, pool(encoder, hidden, batch.pooled), chosen)

    return of


def over_weights(asked: Work, sites: Sequence[Site], text: int) -> dict[Site, Pair]:
    """Integrated gradients of F over W and b of the sites, from zero to what they are."""
    names = [name for site in sites for name in parameters_of(asked, site)]
    attributed, of = dict(asked.encoder.backbone.named_parameters()), value(asked, text)

    def forward(*tensors: Tensor) -> Tensor:
        return torch.cat([of(dict(zip(names, one, strict=True))) for one in zip(*tensors, strict=True)])

    start = tuple(attributed[name].detach()[None] for name in names)
    parts = IntegratedGradients(forward).attribute(start, n_steps=NODES, method="gausslegendre")
    by_name = {name: part[0].detach().double() for name, part in zip(names, parts, strict=True)}
    return {site: pair([by_name[name] for name in parameters_of(asked, site)]) for site in sites}


def parameters_of(asked: Work, site: Site) -> list[str]:
    module = asked.encoder.backbone.get_submodule(site.path)
    return [f"{site.path}.{name}" for name, _ in module.named_parameters()]


def pair(parts: Sequence[Tensor]) -> Pair:
    weight, *bias = parts
    return weight.abs().sum(1), weight.sum(1) + sum(bias)


def stacked(rows: Sequence[dict[Site, Pair]]) -> dict[Site, Pair]:
    return {
        site: (torch.stack([row[site][0] for row in rows]), torch.stack([row[site][1] for row in rows]))
        for site in rows[0]
    }


@pytest.mark.parametrize("name", WHOLE)
def test_the_weight_path_is_integrated_gradients_over_one_matrix(name: str) -> None:
    asked = work(toy(name), rule=f"gauss:{NODES}")
    rows: list[dict[Site, Pair]] = [{}, {}, {}]
    for text, row in enumerate(rows):
        for site in asked.sites:
            row |= over_weights(asked, [site], text)
    check_equal(asked.encoder, weight_path(asked), stacked(rows))


@pytest.mark.parametrize("name", WHOLE)
def test_the_joint_path_is_integrated_gradients_over_all_matrices(name: str) -> None:
    asked = work(toy(name), rule=f"gauss:{NODES}")
    rows = [over_weights(asked, asked.sites, text) for text in range(3)]
    check_equal(asked.encoder, joint_path(asked), stacked(rows))


@pytest.mark.parametrize("name", TOYS)
def test_the_signed_weight_path_is_integrated_gradients_over_outputs(name: str) -> None:
    asked = work(toy(name), rule=f"gauss:{NODES}", side="left")
    record, values = trace(asked.encoder, asked.batch), weight_path(asked)
    texts = torch.arange(3)
    for site in asked.sites:

        def forward(outputs: Tensor, rows: Tensor, site: Site = site) -> Tensor:
            return asked.objective.of_texts(asked.encoder, run_from(record, site, outputs, rows), rows)

        oracle = IntegratedGradients(forward)
        tokens = oracle.attribute(
            record.outputs(site), additional_forward_args=texts, n_steps=NODES, method="gausslegendre"
        )
        assert apart(values[site].signed, tokens.detach().double().sum(1)) <= limit(asked.encoder), site


def from_layer_0(asked: Work) -> Callable[[Tensor, Tensor], Tensor]:
    """(what block 1 is given, text of each row) -> F."""
    encoder = asked.encoder
    first = {"1": encoder.anatomy.blocks(encoder.backbone)[0]}

    def forward(states: Tensor, texts: Tensor) -> Tensor:
        batch = Batch(asked.batch.ids[texts], asked.batch.mask[texts], asked.batch.pooled[texts])
        with rewrite_inputs(first, lambda name, own: states):
            hidden = encoder.backbone(**model_inputs(encoder, batch), output_hidden_states=True).hidden_states[-1]
        return asked.objective.of_texts(encoder, pool(encoder, hidden, batch.pooled), texts)

    return forward


def layer_0(asked: Work) -> Tensor:
    record: Trace = trace(asked.encoder, asked.batch)
    return record.calls.only("1").input


def by_token(asked: Work, site: Site, values: Tensor) -> Tensor:
    """captum's values at the site's module as [text, token, neuron]."""
    return site.units(values.detach()).reshape(*asked.batch.ids.shape, -1).double()


def left_sum(asked: Work, site: Site, ends: tuple[Tensor, Tensor], **options: object) -> Tensor:
    """captum's conductance along the path between two inputs of block 1."""
    module = asked.encoder.backbone.get_submodule(site.path)
    texts = torch.arange(len(asked.batch.ids))
    start, end = ends
    attribution = LayerConductance(from_layer_0(asked), module).attribute(
        end, baselines=start, additional_forward_args=texts, **options
    )
    return by_token(asked, site, attribution)


# captum takes the first dimension of what a module gives for texts; OPT's matrices give texts x tokens there.
@pytest.mark.parametrize("name", [name for name in TOYS if name != "opt"])
def test_conductance_is_the_mean_of_captums_sums_from_both_ends(name: str) -> None:
    """After the first step, that is; on it, the sum from the other end alone."""
    asked = work(toy(name), rule="trapezoid:6", at_once=7, side="left")
    values, whole = conductance(asked), layer_0(asked)
    nothing, first = torch.zeros_like(whole), 0.2 * whole
    options = {"n_steps": 4, "method": "riemann_trapezoid"}  # only its nodes matter: linspace(0, 1, 5)
    for site in asked.sites:
        up = left_sum(asked, site, (first, whole), **options)
        down = left_sum(asked, site, (whole, first), **options)
        jump = left_sum(asked, site, (first, nothing), n_steps=1, method="riemann_trapezoid")
        expected = (up - down) / 2 - jump
        assert apart(values[site].signed, expected.sum(1)) <= limit(asked.encoder), site
        assert apart(values[site].magnitude, expected.abs().sum(1)) <= limit(asked.encoder), site
        assert apart(up, -down) > 1e-3, site  # control: at four steps the two are not the same


@pytest.mark.parametrize("name", ["llama", "t5"])
def test_without_biases_conductance_settles_and_stays_bounded(name: str) -> None:
    """At alpha = 0 RMSNorm's slope is 1 / sqrt(eps) = 1000 for each norm passed; values used to be 1e6 and more.

    F is a cosine, and no neuron's flow is larger than what F can change by (2). With equal steps the error is at worst
    of the order of one step: halving it halves the change, give or take half as much on the way to the limit.
    """
    encoder = toy(name)
    asked = replace(scores(encoder, 3), cosine=True)
    asked = replace(asked, other=torch.nn.functional.normalize(asked.other, dim=1))
    rules = [f"trapezoid:{2**k + 1}" for k in range(2, 6)]
    made = [conductance(work(encoder, objective=asked, rule=rule)) for rule in (*rules, "gauss:4", "gauss:64")]
    assert max(float(attributed.magnitude.max()) for values in made for attributed in values.values()) < 2
    signed = [torch.cat([attributed.signed for attributed in values.values()], 1) for values in made[: len(rules)]]
    changes = [float((b - a).abs().sum() / b.abs().sum()) for a, b in pairwise(signed)]
    assert all(later < 0.75 * earlier for earlier, later in pairwise(changes))
    assert changes[-1] < 0.1


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_the_first_step_is_the_first_however_the_nodes_are_chunked(at_once: int) -> None:
    encoder = toy("llama")
    whole, some = (conductance(work(encoder, rule="gauss:3", at_once=n)) for n in (1000, at_once))
    for site, item in whole.items():
        assert apart(some[site].signed, item.signed) <= limit(encoder), site


def test_conductance_and_captum_have_one_limit() -> None:
    """Their distance is of the order of one step, as that of a left sum from its integral; ours errs by its square."""
    asked = work(toy("bert"), rule="gauss:64")
    site, whole = asked.sites[0], layer_0(asked)
    ours = conductance(asked)[site].signed
    gaps = [
        apart(left_sum(asked, site, (torch.zeros_like(whole), whole), n_steps=n).sum(1), ours) for n in (50, 100, 200)
    ]
    assert gaps[0] > 1.6 * gaps[1] > 1.6**2 * gaps[2]
    assert gaps[2] < 0.02


def test_conductance_divides_the_path_at_the_nodes_of_the_rule() -> None:
    assert partition(trapezoid(4)).tolist() == trapezoid(4).nodes.tolist()
    assert partition(gauss(3)).tolist() == [0.0, *gauss(3).nodes, 1.0]
    values = conductance(work(toy("bert"), rule="gauss:3"))
    assert {int(n) for attributed in values.values() for n in attributed.nodes} == {5}


@pytest.mark.parametrize("name", TOYS)
def test_activation_x_gradient_is_captums(name: str) -> None:
    asked = work(toy(name), at_once=2, side="left")
    values = activation_x_gradient(asked)
    for site in asked.sites:
        module = asked.encoder.backbone.get_submodule(site.path)
        oracle = LayerGradientXActivation(from_layer_0(asked), module)
        expected = by_token(asked, site, oracle.attribute(layer_0(asked), additional_forward_args=torch.arange(3)))
        assert apart(values[site].signed, expected.sum(1)) <= limit(asked.encoder), site
        assert apart(values[site].magnitude, expected.abs().sum(1)) <= limit(asked.encoder), site
        assert values[site].start.isnan().all()
        assert (values[site].nodes == 1).all()
