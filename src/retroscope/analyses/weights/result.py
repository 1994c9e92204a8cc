"""The weights of two checkpoints, compared, as a report wants them. Nothing here computes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd


@dataclass(frozen=True, eq=False)
class WeightFindings:
    """Two checkpoints, tensor by tensor.

    Attributes:
        before: name of the backbone.
        after: name of what was fine-tuned from it.
        n_blocks: of both.
        tensors: a row a tensor, see `retroscope.drift.weights.WeightDiff`.
        groups: a row a layer and part.
        notes: what a reader must know before any number.
    """

    before: str
    after: str
    n_blocks: int
    tensors: pd.DataFrame
    groups: pd.DataFrame
    notes: tuple[str, ...] = ()
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Of a report."""
        return f"What moved in the weights from {self.before} to {self.after}"
