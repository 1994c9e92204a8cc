"""The probe `concat` of arXiv 2505.07166: logits W [q; p1; ...; pN] + b, with the relevant passage in a random slot.

The probe cannot measure relevance: the logits are linear in the concatenation, so no term combines q with a passage,
and q adds the same number to a slot whichever passages are in it (docs: methods/probing). It exists to reproduce the
published curves.

The published training loop builds every concatenation in every step, for each N separately. Here, the distinct passages
of a batch are multiplied once by the weights of every slot of every N, and the logits are sums of these products. The
loss and its gradients are the same, but faster to compute.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag, one_hot

from retroscope.probing.accuracy import choice_accuracy, tie_tolerance
from retroscope.probing.options import ConcatTraining
from retroscope.probing.trial import ProbeOutcome, ProbeTrial

Credit = Float[np.ndarray, "choice"]


@dataclass(frozen=True, eq=False)
class Slots:
    """Probe examples whose candidates are shuffled into input positions (slots), for each pair (control, N).

    Attributes:
        queries: vector of each probe example's query.
        passages: vector of each distinct passage.
        places: for each (control, N), a table (probe example, slot) of indices into `passages`.
        rights: for each (control, N), the slot of the correct candidate in each probe example.
    """

    queries: Float[Tensor, "choice dim"]
    passages: Float[Tensor, "distinct dim"]
    places: tuple[Int[Tensor, "choice slot"], ...]
    rights: tuple[Int[Tensor, "choice"], ...]

    def take(self, rows: Int[Tensor, "some"]) -> "Slots":
        """Return the probe examples at these indices, with only the passages that occur in them."""
        distinct, joined = torch.unique(torch.cat(self.places, dim=1)[rows], return_inverse=True)
        places = torch.split(joined, [place.shape[1] for place in self.places], dim=1)
        return Slots(self.queries[rows], self.passages[distinct], tuple(places), tuple(r[rows] for r in self.rights))


@dataclass(frozen=True, eq=False)
class Layer:
    """The probe's linear layer for one control and number N of candidates: weights W (N, (1 + N) dim) and bias b."""

    weight: Float[Tensor, "slot concatenated"]
    bias: Float[Tensor, "slot"]

    def blocks(self, dim: int) -> tuple[Float[Tensor, "slot dim"], Float[Tensor, "both dim"]]:
        """Split W into the weights of the query (N, dim) and the weights of the passages in all slots (N x N, dim)."""
        n = len(self.bias)
        return self.weight[:, :dim], self.weight[:, dim:].reshape(n, n, dim).transpose(0, 1).reshape(n * n, dim)


def concat(trial: ProbeTrial) -> ProbeOutcome:
    """Train the published probe, and return its test accuracy after the epoch that is best on validation examples."""
    credits, learned, epochs = _run(trial)
    shape = len(trial.view.controls), len(trial.view.sizes)
    none = np.full(shape, np.nan)
    return ProbeOutcome(
        accuracy=np.reshape(credits, (*shape, -1)),
        train_accuracy=np.reshape(learned, shape),
        ridge=none,
        iterations=np.reshape(epochs, shape),
        gradient=none,
        excess=none,
        converged=np.zeros(shape, dtype=bool),
    )


def slots(trial: ProbeTrial, part: str) -> Slots:
    """Return the probe examples of a part of the split, with candidates shuffled into input positions (slots).

    They are shuffled for every control and number N of candidates. Equal parts are shuffled in the same way, e.g. the
    validation and the test part of ielab-2025: the published code selects the epoch by the accuracy that it reports.

    Args:
        part: "train", "validation" or "test".
    """
    choices, targets = trial.view.parts[part], trial.view.targets[part]
    passages, rights = [], []
    for right_of in targets:
        for n, right in zip(trial.view.sizes, right_of, strict=True):
            rng = np.random.default_rng([trial.view.seed, n, part == "train"])
            order = rng.permuted(np.tile(np.arange(n), (len(choices), 1)), axis=1)
            passages.append(np.take_along_axis(choices.passages, order, axis=1))
            rights.append(torch.from_numpy((order == right[:, None]).argmax(axis=1)))
    distinct, joined = np.unique(np.concatenate(passages, axis=1), return_inverse=True)
    places = torch.split(torch.from_numpy(joined), [p.shape[1] for p in passages], dim=1)
    vectors = trial.passages[torch.from_numpy(distinct)]
    return Slots(trial.query_vectors(choices), vectors, tuple(places), tuple(rights))


def first_layer(n: int, dim: int, seed: int) -> Layer:
    """Return a linear layer with random weights as PyTorch draws them: uniform within 1 / sqrt(number of inputs)."""
    generator = torch.Generator().manual_seed(seed)
    bound = ((n + 1) * dim) ** -0.5
    weight = torch.empty(n, (n + 1) * dim).uniform_(-bound, bound, generator=generator)
    return Layer(weight.requires_grad_(), torch.empty(n).uniform_(-bound, bound, generator=generator).requires_grad_())


def logits(layers: Sequence[Layer], batch: Slots) -> list[Float[Tensor, "choice slot"]]:
    """Return the logits W [q; p1; ...; pN] + b of every linear layer without building the concatenation."""
    blocks = [layer.blocks(batch.queries.shape[1]) for layer in layers]
    sizes = [len(layer.bias) for layer in layers]
    of_queries = torch.split(torch.cat([query for query, _ in blocks]) @ batch.queries.T, sizes)
    table = torch.cat([passage for _, passage in blocks]) @ batch.passages.T
    tables = torch.split(table, [n * n for n in sizes])
    return [
        embedding_bag(_cells(place), products.T.reshape(-1, n), mode="sum") + query.T + layer.bias
        for place, products, n, query, layer in zip(batch.places, tables, sizes, of_queries, layers, strict=True)
    ]


def gradient(layers: Sequence[Layer], batch: Slots) -> list[Layer]:
    """Return the gradient of the mean cross-entropy with respect to the weights and the bias of each linear layer.

    The concatenations are not built.
    """
    errors = [_error(scores, right) for scores, right in zip(logits(layers, batch), batch.rights, strict=True)]
    tables = [_scattered(e, place, len(batch.passages)) for e, place in zip(errors, batch.places, strict=True)]
    of_queries = torch.split(torch.cat(errors, dim=1).T @ batch.queries, [e.shape[1] for e in errors])
    of_slots = torch.split(torch.cat(tables, dim=1).T @ batch.passages, [t.shape[1] for t in tables])
    return [_joined(*parts) for parts in zip(of_queries, of_slots, errors, strict=True)]


def _error(scores: Float[Tensor, "choice slot"], right: Int[Tensor, "choice"]) -> Float[Tensor, "choice slot"]:
    return (scores.softmax(dim=1) - one_hot(right, scores.shape[1])) / len(right)


def _scattered(
    error: Float[Tensor, "choice slot"], place: Int[Tensor, "choice slot"], distinct: int
) -> Float[Tensor, "distinct both"]:
    """Sum the gradients of the logits by distinct passage and by the slot that the passage is in."""
    n = place.shape[1]
    table = torch.zeros(distinct * n, n)
    table.index_add_(0, _cells(place).flatten(), error.repeat_interleave(n, dim=0))
    return table.reshape(distinct, n * n)


def _joined(query: Tensor, slots_: Tensor, error: Tensor) -> Layer:
    n = error.shape[1]
    passages = slots_.reshape(n, n, -1).transpose(0, 1).flatten(1)
    return Layer(torch.cat([query, passages], dim=1), error.sum(dim=0))


def _cells(place: Int[Tensor, "choice slot"]) -> Int[Tensor, "choice slot"]:
    """Return the index of each pair (distinct passage, slot) in a flat table of all such pairs."""
    n = place.shape[1]
    return place * n + torch.arange(n)


@torch.no_grad()
def _run(trial: ProbeTrial) -> tuple[list[Credit], list[float], list[int]]:
    """Train a linear layer for each (control, N); return its test accuracies, mean training accuracy and best epoch."""
    train, select, test = (slots(trial, part) for part in ("train", "validation", "test"))
    layers = [first_layer(p.shape[1], trial.queries.shape[1], trial.view.seed) for p in train.places]
    optimiser = torch.optim.Adam([w for a in layers for w in (a.weight, a.bias)], trial.options.concat.learning_rate)
    generator = torch.Generator().manual_seed(trial.view.seed)
    best, credits, epochs = [-1.0] * len(layers), [np.zeros(0)] * len(layers), [0] * len(layers)
    best_layers = list(layers)
    for epoch in range(1, trial.options.concat.epochs + 1):
        for batch in _batches(train, trial.options.concat, generator):
            for layer, slope in zip(layers, gradient(layers, batch), strict=True):
                layer.weight.grad, layer.bias.grad = slope.weight, slope.bias
            optimiser.step()
        selected = [float(credit.mean()) for credit in _credits(trial, layers, select)]
        better = [cell for cell, accuracy in enumerate(selected) if accuracy > best[cell]]
        reported = _credits(trial, layers, test) if better else []
        for cell in better:
            best[cell], credits[cell], epochs[cell] = selected[cell], reported[cell], epoch
            best_layers[cell] = Layer(layers[cell].weight.clone(), layers[cell].bias.clone())
    return credits, _learned(trial, best_layers, train), epochs


def _learned(trial: ProbeTrial, layers: Sequence[Layer], train: Slots) -> list[float]:
    """Return the mean accuracy of each linear layer on the training examples, computed batch by batch."""
    rows = torch.arange(len(train.queries))
    batches = [train.take(some) for some in torch.split(rows, trial.options.concat.batch_size)]
    credits = [_credits(trial, layers, batch) for batch in batches]
    return [float(np.concatenate(cell).mean()) for cell in zip(*credits, strict=True)]


def _batches(train: Slots, training: ConcatTraining, generator: torch.Generator) -> list[Slots]:
    """Return the training examples in shuffled batches, or unshuffled in one batch if they fit."""
    if len(train.queries) <= training.batch_size:
        return [train]
    order = torch.randperm(len(train.queries), generator=generator)
    return [train.take(rows) for rows in torch.split(order, training.batch_size)]


def _credits(trial: ProbeTrial, layers: Sequence[Layer], part: Slots) -> list[Credit]:
    """Return the accuracy of each probe example by every linear layer: 1 or 0, or 1/k if k candidates tie.

    Under ielab-2025, the lowest slot wins a tie, as with `argmax`.
    """
    scores = logits(layers, part)
    if trial.options.first_index_wins:
        return [(s.argmax(dim=1) == right).double().numpy() for s, right in zip(scores, part.rights, strict=True)]
    return [
        choice_accuracy(
            s.numpy(),
            right=right.numpy(),
            tolerance=tie_tolerance(s.abs().amax(dim=1).numpy(), layer.weight.shape[1]),
        )
        for s, right, layer in zip(scores, part.rights, layers, strict=True)
    ]
