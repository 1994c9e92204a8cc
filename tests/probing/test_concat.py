import numpy as np
import pytest
import torch
from planted import choices, prior, signal
from torch.nn.functional import cross_entropy, linear

from retroscope.probing import PROBES, ConcatTraining, ProbeSettings, probe
from retroscope.probing.controls import views
from retroscope.probing.probes.concat import Layer, Slots, _batches, first_layer, gradient, logits, slots
from retroscope.probing.splits import published_split
from retroscope.probing.tasks import build_task
from retroscope.probing.trial import Trial


def a_batch(n=4, choices=9, distinct=7, dim=5):
    generator = torch.Generator().manual_seed(0)
    return Slots(
        torch.randn(choices, dim, generator=generator),
        torch.randn(distinct, dim, generator=generator),
        torch.randint(distinct, (choices, n), generator=generator),
        torch.randint(n, (choices,), generator=generator),
    )


def plainly(layer: Layer, batch: Slots) -> torch.Tensor:
    """The published form: every concatenation is copied."""
    vectors = torch.cat([batch.queries, batch.passages[batch.place].flatten(1)], dim=1)
    return linear(vectors, layer.weight, layer.bias)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_logits_and_gradients_equal_those_of_the_concatenation(n):
    batch, layer = a_batch(n), first_layer(n, 5, seed=1)
    published = plainly(layer, batch)
    torch.testing.assert_close(logits(layer, batch), published, atol=1e-6, rtol=1e-5)
    cross_entropy(published, batch.right).backward()
    ours = gradient(layer, batch)
    torch.testing.assert_close(ours.weight, layer.weight.grad, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(ours.bias, layer.bias.grad, atol=1e-6, rtol=1e-5)


def test_what_selects_the_published_epoch_is_what_is_reported():
    trial = a_trial()
    select, test = slots(trial, "validation", 0, 1), slots(trial, "test", 0, 1)
    assert torch.equal(select.place, test.place)
    assert torch.equal(select.right, test.right)


def test_part_of_a_batch_gives_part_of_its_logits():
    batch, layer, rows = a_batch(), first_layer(4, 5, seed=1), torch.tensor([7, 2, 2])
    torch.testing.assert_close(logits(layer, batch.take(rows)), logits(layer, batch)[rows])


def a_trial(world=None, pool="gold", training=None):
    task = build_task(choices(pool=pool), 4)
    view = views(published_split(task, 42, 0.8).parts, 42, ("none",), (2, 4), twin=False)[0]
    world = world or signal()
    rows = [world.query.layer(0)[world.query.rows(task.query_ids)]]
    rows.append(world.passage.layer(0)[world.passage.rows(task.passage_ids)])
    options = ProbeSettings(protocol="ielab-2025", concat=training or ConcatTraining()).options
    return Trial(*map(torch.from_numpy, rows), view, options)


def test_the_slot_is_random_and_holds_the_right_passage():
    trial = a_trial()
    drawn = slots(trial, "train", 0, 1)
    right = drawn.passages[drawn.place[torch.arange(len(drawn.right)), drawn.right]]
    positives = trial.passages[torch.from_numpy(trial.view.parts["train"].passages[:, 0])]
    torch.testing.assert_close(right, positives)
    shares = np.bincount(drawn.right, minlength=4) / len(drawn.right)
    assert np.all(np.abs(shares - 1 / 4) < 4 * (3 / 16 / len(drawn.right)) ** 0.5)


def test_the_query_moves_all_choices_of_slots_alike():
    """Why concat cannot see relevance: exchanging two passages never interacts with the query."""
    layer, batch = first_layer(4, 5, seed=1), a_batch()
    other = Slots(batch.queries.flip(0), batch.passages, batch.place, batch.right)
    swapped = Slots(batch.queries, batch.passages, batch.place.flip(1), batch.right)
    both = Slots(other.queries, batch.passages, swapped.place, batch.right)
    effect = logits(layer, swapped) - logits(layer, batch)
    torch.testing.assert_close(effect, logits(layer, both) - logits(layer, other), atol=1e-6, rtol=1e-5)


def test_the_published_protocol_reports_the_selecting_part():
    result = probe(prior(), choices(200, pool="others"), ProbeSettings(protocol="ielab-2025", seeds=2))
    assert result.scores.values.dims[1:] == ("probe", "control", "passages", "layer")
    assert result.by_seed.coords["seed"].values.tolist() == [42, 43]
    assert result.split_sizes.sel(part="test").values.tolist() == [2, 2]
    assert any("not to convergence" in warning for warning in result.warnings)
    assert not result.fits["converged"].any()


def test_small_batches_take_every_choice_once_an_epoch():
    train = slots(a_trial(), "train", 0, 1)
    batches = _batches(train, ConcatTraining(batch_size=64), torch.Generator().manual_seed(0))
    assert [len(batch.right) for batch in batches] == [64, 64, 64, 48]
    seen = torch.cat([batch.queries for batch in batches])
    assert torch.equal(seen.sort(dim=0).values, train.queries.sort(dim=0).values)


def test_small_batches_learn_a_prior():
    trial = a_trial(prior(), "others", ConcatTraining(learning_rate=0.01, batch_size=64, epochs=20))
    assert PROBES["concat"](trial).accuracy[0, 0].mean() > 0.7
