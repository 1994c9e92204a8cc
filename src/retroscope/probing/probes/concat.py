"""The published probe (arXiv 2505.07166): u = W [q; p1; ...; pN] + b, the relevant passage in a random slot.

It cannot see relevance: W is linear in the concatenation, so no term joins q with a p, and q
adds the same to a slot whichever passages stand there (docs: methods/probing). It is here to be
laid over the published curves.

The published loop copies every concatenation in every step. W acts on each slot by itself, so
here the distinct passages of a batch are scored once for every slot, in one product without any
copy, and the logits are looked up: the same loss and gradients, one to two orders faster.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag, one_hot

from retroscope.probing.accuracy import choice_accuracy, tie_tolerance
from retroscope.probing.options import ConcatTraining
from retroscope.probing.trial import Outcome, Trial

Index = Int[Tensor, "choice"]


@dataclass(frozen=True, eq=False)
class Slots:
    """Choices with their candidates in a random order, drawn once.

    Attributes:
        queries: vector of each choice's query.
        passages: vector of each distinct passage.
        place: (choice, slot) which of the distinct passages stands there.
        right: the slot of the right one.
    """

    queries: Float[Tensor, "choice dim"]
    passages: Float[Tensor, "distinct dim"]
    place: Int[Tensor, "choice slot"]
    right: Index

    def take(self, rows: Index) -> "Slots":
        """Some of the choices."""
        kept, place = torch.unique(self.place[rows], return_inverse=True)
        return Slots(self.queries[rows], self.passages[kept], place, self.right[rows])


@dataclass(frozen=True, eq=False)
class Layer:
    """The linear layer: `weight` is W, (slot, (1 + slots) dim), and `bias` is b."""

    weight: Float[Tensor, "slot concatenated"]
    bias: Float[Tensor, "slot"]


def concat(trial: Trial) -> Outcome:
    """Train for the published number of epochs; report the epoch that is best on the selection part."""
    sizes = range(len(trial.view.sizes))
    runs = [[_run(trial, control, size) for size in sizes] for control in range(len(trial.view.controls))]
    credit = np.array([[accuracy for accuracy, _ in row] for row in runs])
    none = np.full(credit.shape[:2], np.nan)
    epochs = np.array([[epoch for _, epoch in row] for row in runs])
    return Outcome(credit, none, epochs, none, none, np.zeros(none.shape, dtype=bool))


def slots(trial: Trial, part: str, control: int, size: int) -> Slots:
    """The part's first candidates (as many as the size at this place says), shuffled by the seed.

    Parts that are the same choices, as the selecting and the reported one of ielab-2025, are
    shuffled alike: the published best epoch is best on the very numbers that are reported.
    """
    choices, n = trial.view.parts[part], trial.view.sizes[size]
    rng = np.random.default_rng([trial.view.seed, n, part == "train"])
    order = rng.permuted(np.tile(np.arange(n), (len(choices), 1)), axis=1)
    right = order == trial.view.targets[part][control, size][:, None]
    passages, place = np.unique(np.take_along_axis(choices.passages, order, axis=1), return_inverse=True)
    return Slots(
        queries=trial.query_vectors(choices),
        passages=trial.passages[torch.from_numpy(passages)],
        place=torch.from_numpy(place),
        right=torch.from_numpy(right.argmax(axis=1)),
    )


def first_layer(n: int, dim: int, seed: int) -> Layer:
    """PyTorch's own start of a linear layer: uniform within 1 / sqrt(inputs)."""
    generator = torch.Generator().manual_seed(seed)
    bound = ((n + 1) * dim) ** -0.5
    weight = torch.empty(n, (n + 1) * dim).uniform_(-bound, bound, generator=generator)
    return Layer(weight.requires_grad_(), torch.empty(n).uniform_(-bound, bound, generator=generator).requires_grad_())


def logits(layer: Layer, batch: Slots) -> Float[Tensor, "choice slot"]:
    """W [q; p1; ...; pN] + b without the concatenation."""
    n, dim = len(layer.bias), batch.queries.shape[1]
    of_query, of_slots = layer.weight[:, :dim], layer.weight[:, dim:].reshape(n, n, dim)
    table = batch.passages @ of_slots.permute(2, 1, 0).flatten(1)  # (the slot it stands in, the slot it speaks for)
    looked_up = embedding_bag(_cells(batch), table.reshape(-1, n), mode="sum")
    return looked_up + batch.queries @ of_query.T + layer.bias


def gradient(layer: Layer, batch: Slots) -> Layer:
    """Of the mean cross-entropy with respect to W and b, by the same look-up, backwards."""
    n = len(layer.bias)
    error = (logits(layer, batch).softmax(dim=1) - one_hot(batch.right, n)) / len(batch.right)
    table = torch.zeros(len(batch.passages) * n, n)
    table.index_add_(0, _cells(batch).flatten(), error.repeat_interleave(n, dim=0))
    of_slots = (table.reshape(-1, n * n).T @ batch.passages).reshape(n, n, -1).transpose(0, 1).flatten(1)
    return Layer(torch.cat([error.T @ batch.queries, of_slots], dim=1), error.sum(dim=0))


def _cells(batch: Slots) -> Int[Tensor, "choice slot"]:
    """Row of the table for each passage in the slot where it stands."""
    n = batch.place.shape[1]
    return batch.place * n + torch.arange(n)


@torch.no_grad()
def _run(trial: Trial, control: int, size: int) -> tuple[Float[np.ndarray, "choice"], int]:
    """Credit of the test choices at the best epoch, and which it was."""
    train, select, test = (slots(trial, part, control, size) for part in ("train", "validation", "test"))
    layer = first_layer(trial.view.sizes[size], trial.queries.shape[1], trial.view.seed)
    optimiser = torch.optim.Adam([layer.weight, layer.bias], lr=trial.options.concat.learning_rate)
    generator = torch.Generator().manual_seed(trial.view.seed)
    best, credit, best_epoch = -1.0, np.zeros(0), 0
    for epoch in range(1, trial.options.concat.epochs + 1):
        for batch in _batches(train, trial.options.concat, generator):
            slope = gradient(layer, batch)
            layer.weight.grad, layer.bias.grad = slope.weight, slope.bias
            optimiser.step()
        selected = float(_credit(trial, layer, select).mean())
        if selected > best:
            best, credit, best_epoch = selected, _credit(trial, layer, test), epoch
    return credit, best_epoch


def _batches(train: Slots, training: ConcatTraining, generator: torch.Generator) -> list[Slots]:
    """The training choices in batches, in a fresh order; all at once where they fit."""
    if len(train.right) <= training.batch_size:
        return [train]
    order = torch.randperm(len(train.right), generator=generator)
    return [train.take(rows) for rows in torch.split(order, training.batch_size)]


def _credit(trial: Trial, layer: Layer, part: Slots) -> Float[np.ndarray, "choice"]:
    """Credit of each choice; under ielab-2025 a tie goes to the lowest slot, as `argmax` gives it."""
    scores = logits(layer, part)
    if trial.options.first_index_wins:
        return (scores.argmax(dim=1) == part.right).double().numpy()
    tolerance = tie_tolerance(scores.abs().amax(dim=1).numpy(), layer.weight.shape[1])
    return choice_accuracy(scores.numpy(), right=part.right.numpy(), tolerance=tolerance)
