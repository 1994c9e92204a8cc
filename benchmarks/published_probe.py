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

    def __len__(self) -> int:
        return len(self.slots.right)

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor]:
        passages = self.slots.passages[self.slots.place[item]]
        return torch.cat([self.slots.queries[item], *passages]), self.slots.right[item]


def published_accuracy(train: Slots, reported: Slots, training: ConcatTraining, seed: int) -> float:
    """Accuracy of the best epoch on the reported part, which is also the part that chooses it."""
    torch.manual_seed(seed)
    slots, dim = train.place.shape[1], train.queries.shape[1]
    model = nn.Linear((slots + 1) * dim, slots)
    optimiser = torch.optim.Adam(model.parameters(), lr=training.learning_rate)
    loader = DataLoader(Concatenations(train), batch_size=training.batch_size, shuffle=True)
    best = 0.0
    for _ in range(training.epochs):
        for vectors, right in loader:
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(vectors), right).backward()
            optimiser.step()
        best = max(best, _accuracy(model, reported, training.batch_size))
    return best


@torch.no_grad()
def _accuracy(model: nn.Linear, part: Slots, batch_size: int) -> float:
    loader = DataLoader(Concatenations(part), batch_size=batch_size)
    hits = [(model(vectors).argmax(dim=1) == right).sum() for vectors, right in loader]
    return float(sum(hits)) / len(part.right)
