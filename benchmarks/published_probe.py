"""The published probe's training loop (arXiv 2505.07166), written again plainly: the yardstick for `concat`.

One example is one concatenation [q; p1; ...; pN], copied item by item into batches by a
DataLoader; a linear layer, cross-entropy, Adam; one run for each layer, N and seed.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from retroscope.probing.options import ConcatTraining
from retroscope.probing.probes.concat import Slots


@dataclass(frozen=True)
class Concatenations(Dataset[tuple[Tensor, Tensor]]):
    """Choices as the published loop holds them; the slots are given, so that both loops see the same order."""

    slots: Slots
    cell: int

    def __len__(self) -> int:
        return len(self.slots.queries)

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor]:
        passages = self.slots.passages[self.slots.places[self.cell][item]]
        return torch.cat([self.slots.queries[item], *passages]), self.slots.rights[self.cell][item]


def published_accuracy(train: Concatenations, reported: Concatenations, training: ConcatTraining, seed: int) -> float:
    """Accuracy of the best epoch on the reported part, which is also the part that chooses it."""
    torch.manual_seed(seed)
    slots = train.slots.places[train.cell].shape[1]
    model = nn.Linear(len(train[0][0]), slots)
    optimiser = torch.optim.Adam(model.parameters(), lr=training.learning_rate)
    loader = DataLoader(train, batch_size=training.batch_size, shuffle=True)
    best = 0.0
    for _ in range(training.epochs):
        for vectors, right in loader:
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(vectors), right).backward()
            optimiser.step()
        best = max(best, _accuracy(model, reported, training.batch_size))
    return best


@torch.no_grad()
def _accuracy(model: nn.Linear, part: Concatenations, batch_size: int) -> float:
    loader = DataLoader(part, batch_size=batch_size)
    hits = [(model(vectors).argmax(dim=1) == right).sum() for vectors, right in loader]
    return float(sum(hits)) / len(part)
