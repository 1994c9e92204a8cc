from dataclasses import replace

import numpy as np
import torch
from planted import choices, prior, signal
from torch.nn.functional import cross_entropy, linear

from retroscope.probing.controls import views
from retroscope.probing.grid import probe
from retroscope.probing.options import ConcatTraining
from retroscope.probing.probes import PROBES
from retroscope.probing.probes.concat import Layer, Slots, _batches, first_layer, gradient, logits, slots
from retroscope.probing.settings import ProbeSettings
from retroscope.probing.splits import published_split
from retroscope.probing.tasks import build_task
from retroscope.probing.trial import ProbeTrial

SIZES = (2, 4, 5)


def a_batch(choices=9, distinct=7, dim=5):
    generator = torch.Generator().manual_seed(0)
    return Slots(
        torch.randn(choices, dim, generator=generator),
        torch.randn(distinct, dim, generator=generator),
        tuple(torch.randint(distinct, (choices, n), generator=generator) for n in SIZES),
        tuple(torch.randint(n, (choices,), generator=generator) for n in SIZES),
    )


def some_layers(dim=5):
    return [first_layer(n, dim, seed=n) for n in SIZES]


def plainly(layer: Layer, batch: Slots, cell: int) -> torch.Tensor:
    """The published form: every concatenation is copied."""
    vectors = torch.cat([batch.queries, batch.passages[batch.places[cell]].flatten(1)], dim=1)
    return linear(vectors, layer.weight, layer.bias)


def test_logits_and_gradients_equal_those_of_the_concatenation():
    batch, layers = a_batch(), some_layers()
    for cell, (layer, scores, ours) in enumerate(
        zip(layers, logits(layers, batch), gradient(layers, batch), strict=True)
    ):
        published = plainly(layer, batch, cell)
        torch.testing.assert_close(scores, published, atol=1e-6, rtol=1e-5)
        cross_entropy(published, batch.rights[cell]).backward()
        torch.testing.assert_close(ours.weight, layer.weight.grad, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(ours.bias, layer.bias.grad, atol=1e-6, rtol=1e-5)


def test_what_selects_the_published_epoch_is_what_is_reported():
    trial = a_trial()
    select, test = slots(trial, "validation"), slots(trial, "test")
    assert all(torch.equal(a, b) for a, b in zip(select.places, test.places, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(select.rights, test.rights, strict=True))


def test_part_of_a_batch_gives_part_of_its_logits():
    batch, layers, rows = a_batch(), some_layers(), torch.tensor([7, 2, 2])
    for part, whole in zip(logits(layers, batch.take(rows)), logits(layers, batch), strict=True):
        torch.testing.assert_close(part, whole[rows])


def a_trial(world=None, pool="gold", training=None):
    task = build_task(choices(pool=pool), 4)
    view = views(published_split(task, 42, 0.8).parts, 42, ("none",), (2, 4), task.texts)[0]
    world = world or signal()
    rows = [world.query.layer(0)[world.query.rows(task.query_ids)]]
    rows.append(world.passage.layer(0)[world.passage.rows(task.passage_ids)])
    options = ProbeSettings(protocol="ielab-2025", concat=training or ConcatTraining()).options
    return ProbeTrial(*map(torch.from_numpy, rows), view, options, "dot", task.texts)


def test_the_slot_is_random_and_holds_the_right_passage():
    drawn = slots(a_trial(), "train")
    positives = a_trial().passages[torch.from_numpy(a_trial().view.parts["train"].passages[:, 0])]
    for n, place, right in zip((2, 4), drawn.places, drawn.rights, strict=True):
        torch.testing.assert_close(drawn.passages[place[torch.arange(len(right)), right]], positives)
        shares = np.bincount(right, minlength=n) / len(right)
        assert np.all(np.abs(shares - 1 / n) < 4 * ((n - 1) / n**2 / len(right)) ** 0.5)


def test_the_query_moves_all_choices_of_slots_alike():
    """Why concat cannot see relevance: exchanging passages never interacts with the query."""
    layers, batch = some_layers(), a_batch()
    turned = tuple(place.flip(1) for place in batch.places)
    other = replace(batch, queries=batch.queries.flip(0))
    effect, with_other = (
        [b - a for a, b in zip(logits(layers, one), logits(layers, replace(one, places=turned)), strict=True)]
        for one in (batch, other)
    )
    for here, there in zip(effect, with_other, strict=True):
        torch.testing.assert_close(here, there, atol=1e-6, rtol=1e-5)


def test_the_published_protocol_reports_the_selecting_part():
    result = probe(prior(), choices(200, pool="others"), ProbeSettings(protocol="ielab-2025", seeds=2))
    assert result.scores.values.dims[1:] == ("probe", "control", "passages", "layer")
    assert result.by_seed.coords["seed"].values.tolist() == [42, 43]
    assert result.split_sizes.sel(part="test").values.tolist() == [2, 2]
    assert any("not to convergence" in warning for warning in result.warnings)
    assert not result.fits["converged"].any()


def test_small_batches_take_every_choice_once_an_epoch():
    train = slots(a_trial(), "train")
    batches = _batches(train, ConcatTraining(batch_size=64), torch.Generator().manual_seed(0))
    assert [len(batch.queries) for batch in batches] == [64, 64, 64, 48]
    seen = torch.cat([batch.queries for batch in batches])
    assert torch.equal(seen.sort(dim=0).values, train.queries.sort(dim=0).values)


def test_small_batches_learn_a_prior():
    trial = a_trial(prior(), "others", ConcatTraining(learning_rate=0.01, batch_size=64, epochs=20))
    assert PROBES["concat"](trial).accuracy[0, 0].mean() > 0.7
