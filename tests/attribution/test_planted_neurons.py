"""Planted neurons: in an encoder where known neurons carry the answer, they are ranked first."""

from copy import deepcopy
from dataclasses import dataclass, replace

import pytest
import torch
from oracles import Matrix, toy, work
from torch import Tensor
from torch.nn.functional import normalize

from retroscope.attribution.integrals.methods import METHODS
from retroscope.attribution.integrals.passes import Stretch, with_slopes
from retroscope.attribution.integrals.paths import Values
from retroscope.attribution.integrals.trace import trace
from retroscope.attribution.objective import Objective
from retroscope.attribution.sites import Site, find_sites
from retroscope.encoders.encoder import Encoder

PLANTED = [2, 9, 17]
DIMENSION = 5  # of the residual stream, which they write to
QUIET = 0.1  # what is left of what all other FFN neurons write
ON = 1.5  # what the planted ones get on the average token of the texts; nothing when the input is zero


@dataclass(frozen=True)
class Place:
    """Where neurons are planted, and how much each writes."""

    name: str
    layer: int
    strength: float = 1.0


PLACES = [Place(name, layer) for name in ("bert", "gpt_neox", "opt") for layer in (1, 2)]


@torch.no_grad()
def planted(place: Place) -> Encoder:
    """A toy whose FFNs are quiet, but for a few neurons that read what the input adds and write to one dimension."""
    original = toy(place.name)
    encoder = replace(original, backbone=deepcopy(original.backbone))
    sites = find_sites(encoder, ("intermediate", "output"))
    for site in sites[1::2]:
        Matrix(encoder, site).weight.mul_(QUIET)
    reading, writing = (Matrix(encoder, site) for site in sites[2 * place.layer - 2 : 2 * place.layer])
    writing.weight[:, PLANTED] = 0
    writing.weight[DIMENSION, PLANTED] = place.strength
    nothing, something = mean_input(encoder, sites[2 * place.layer - 2])
    direction = (something - nothing) / (something - nothing).norm() ** 2
    reading.weight[PLANTED] = ON * direction
    reading.bias[PLANTED] = -ON * direction @ nothing
    return encoder


def mean_input(encoder: Encoder, site: Site) -> Tensor:
    """What a matrix is given, over the real tokens of the texts, when the input of block 1 is zero and as it is."""
    asked = work(encoder, sites=[site])
    both = with_slopes(asked, Stretch(torch.arange(3), torch.tensor([0.0, 1.0]), "layer 0"))
    return both.sites[site].inputs[:, asked.batch.mask].mean(1)


def added(place: Place) -> Tensor:
    """The direction in which the planted neurons move each final vector, all of them at once."""
    with_them, without = (
        trace(encoder, work(encoder).batch).vectors for encoder in (planted(place), planted(replace(place, strength=0)))
    )
    return normalize(with_them - without, dim=-1)


def attributed(place: Place, method: str, other: Tensor) -> Values:
    objective = Objective(other, torch.ones(3), torch.arange(3))
    return METHODS[method](work(planted(place), objective=objective, rule="gauss:16"))


def first(values: Values, quantity: str, part: str, n: int) -> list[set[tuple[int, int]]]:
    """The (layer, neuron)s of the n largest values of every example among all sites of a part."""
    sites = [site for site in values if site.part == part]
    flat = torch.cat([getattr(values[site], quantity).double() for site in sites], 1)
    neurons = [(site.layer, i) for site in sites for i in range(values[site].signed.shape[1])]
    return [{neurons[i] for i in row} for row in flat.topk(n).indices.tolist()]


@pytest.mark.parametrize("quantity", ["magnitude", "signed"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("place", PLACES, ids=str)
def test_planted_neurons_come_first_at_their_layer(place: Place, method: str, quantity: str) -> None:
    values = attributed(place, method, added(place))
    expected = {(place.layer, neuron) for neuron in PLANTED}
    assert first(values, quantity, "intermediate", len(PLANTED)) == [expected] * 3
    assert first(values, quantity, "output", 1) == [{(place.layer, DIMENSION)}] * 3


def across(answer: Tensor) -> Tensor:
    """Targets at a right angle to what the planted neurons add."""
    random = torch.randn(answer.shape, generator=torch.Generator().manual_seed(0))
    return random - (random * answer).sum(1, keepdim=True) * answer


def share(values: Values, layer: int) -> float:
    """Mean share of the planted neurons in the sizes of the signed values of all intermediate neurons."""
    sizes = {site.layer: value.signed.abs() for site, value in values.items() if site.part == "intermediate"}
    return float((sizes[layer][:, PLANTED].sum(1) / sum(size.sum(1) for size in sizes.values())).mean())


@pytest.mark.parametrize("method", ["weight_path", "joint_path"])
@pytest.mark.parametrize("place", PLACES, ids=str)
def test_they_do_not_where_the_question_is_another(place: Place, method: str) -> None:
    """Control: what a complete method gives them sums to what they change: to nothing, across."""
    answer = added(place)
    about, beside = (attributed(place, method, other) for other in (answer, across(answer)))
    assert {(place.layer, neuron) for neuron in PLANTED} not in first(beside, "signed", "intermediate", len(PLANTED))
    assert share(about, place.layer) > 0.5
    assert share(beside, place.layer) < share(about, place.layer) / 3


@pytest.mark.parametrize("method", ["conductance", "activation_x_gradient"])
@pytest.mark.parametrize("place", PLACES, ids=str)
def test_other_methods_give_them_less_where_the_question_is_another(place: Place, method: str) -> None:
    """Their values need not sum to the change: a slope across may be steep where the way there and back is not."""
    answer = added(place)
    about, beside = (share(attributed(place, method, other), place.layer) for other in (answer, across(answer)))
    assert beside < about / 1.2


@pytest.mark.parametrize("method", METHODS)
def test_neurons_that_write_nothing_get_nothing(method: str) -> None:
    """Control: planted with strength 0, their slope is exactly 0."""
    place = Place("bert", 2, strength=0.0)
    values = attributed(place, method, torch.eye(16)[:3])
    site: Site = next(s for s in values if (s.layer, s.part) == (2, "intermediate"))
    assert (values[site].magnitude[:, PLANTED] == 0).all()
    assert (values[site].magnitude[:, [0, 1, 3]] > 0).all()
