"""Sum the accuracies and code lengths of all probes while they run, by query, probe, control, N and layer."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from retroscope.probing.settings import ProbeSettings
from retroscope.probing.splits import Split
from retroscope.probing.tasks import ChoiceRows, Task
from retroscope.probing.trial import ProbeOutcome

MDL = "mdl"
EVIDENCE = tuple(f.name for f in fields(ProbeOutcome) if f.name != "accuracy")


@dataclass(frozen=True, eq=False)
class ProbePlan:
    """Plan of all probes to run: probe examples, settings, splits, controls and layers.

    Attributes:
        controls: those controls of the settings that the given vectors allow.
    """

    task: Task
    settings: ProbeSettings
    splits: tuple[Split, ...]
    controls: tuple[str, ...]
    layers: tuple[int, ...]

    @property
    def probes(self) -> tuple[str, ...]:
        """Return the names of the probes whose accuracy is measured: all but "mdl", which measures a code length."""
        return tuple(name for name in self.settings.chosen_probes if name != MDL)

    @property
    def has_mdl(self) -> bool:
        """Return whether the code length "mdl" is measured."""
        return MDL in self.settings.chosen_probes

    @property
    def coords(self) -> dict[str, Any]:
        """Return the labels of each axis (query, seed, probe, control, passages, layer) as xarray coordinates."""
        return {
            "query": np.array(self.task.query_ids, dtype=object),
            "seed": [split.seed for split in self.splits],
            "probe": np.array(self.probes, dtype=object),
            "control": np.array(self.controls, dtype=object),
            "passages": list(self.settings.passages),
            "layer": list(self.layers),
        }

    def zeros(self, *dims: str) -> xr.DataArray:
        """Return an array of zeros with the named axes and their labels."""
        labels = self.coords
        coords = {dim: labels[dim] for dim in dims}
        return xr.DataArray(np.zeros([len(axis) for axis in coords.values()]), coords, dims)


class ProbeTally:
    """Running sums of accuracies and code lengths over probe examples and seeds; `probe_result` makes means of them."""

    def __init__(self, plan: ProbePlan) -> None:
        """Start with all sums at zero."""
        grid = ("probe", "control", "passages", "layer")
        self.plan = plan
        self.credit = plan.zeros("query", *grid)
        self.bits = plan.zeros("query", *grid[1:])
        self.by_seed = plan.zeros("seed", *grid)
        self.fits = {name: plan.zeros("seed", *grid) for name in EVIDENCE}
        self.mdl_unconverged = 0
        self._places = {dim: {label: at for at, label in enumerate(labels)} for dim, labels in plan.coords.items()}

    @property
    def tests(self) -> Float[np.ndarray, "query"]:
        """Count the test examples of each query over all seeds."""
        tested = np.concatenate([split.test.query for split in self.plan.splits])
        return np.bincount(tested, minlength=len(self.plan.task.query_ids)).astype(float)

    def add_outcome(
        self, probe: str, layer: int, split: Split, controls: tuple[str, ...], outcome: ProbeOutcome
    ) -> None:
        """Add the accuracies of one probe on one layer and split to the running sums.

        Args:
            controls: names of the controls on the first axis of the outcome's arrays.
        """
        sums = per_query(outcome.accuracy, split.test.query, len(self.plan.task.query_ids))
        tested = np.bincount(split.test.query, minlength=len(sums))
        means = (sums[tested > 0] / tested[tested > 0, None, None]).mean(axis=0)
        places = self._places
        seed, at_probe, at_layer = places["seed"][split.seed], places["probe"][probe], places["layer"][layer]
        for at, control in enumerate(controls):
            cell = at_probe, places["control"][control], slice(None), at_layer
            self.credit.values[:, *cell] += sums[:, at]
            self.by_seed.values[seed, *cell] = means[at]
            for name, table in self.fits.items():
                table.values[seed, *cell] = getattr(outcome, name)[at]

    def add_bits(
        self, layer: int, query: ChoiceRows, controls: tuple[str, ...], bits: Float[np.ndarray, "control size choice"]
    ) -> None:
        """Add the code length of every probe example on one layer to the running sums.

        Args:
            query: index of each probe example's query.
            controls: names of the controls on the first axis of `bits`.
            bits: code lengths in bits.
        """
        sums = per_query(bits, query, len(self.plan.task.query_ids))
        for at, control in enumerate(controls):
            self.bits.values[:, self._places["control"][control], :, self._places["layer"][layer]] += sums[:, at]


def per_query(
    values: Float[np.ndarray, "control size choice"], query: ChoiceRows, n: int
) -> Float[np.ndarray, "query control size"]:
    """Sum the values of the probe examples of each query.

    Args:
        query: index of each probe example's query.
        n: number of queries.
    """
    sums = np.zeros((n, *values.shape[:2]))
    np.add.at(sums, query, np.moveaxis(values, 2, 0))
    return sums
