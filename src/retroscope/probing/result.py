"""The type `ProbeResult`: the accuracies and code lengths of all probes, with evidence that their fits converged."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any, TypedDict

import numpy as np
import pandas as pd
import xarray as xr

from retroscope.number_format import count
from retroscope.probing.controls import independent_examples
from retroscope.probing.records import ProbeRecord
from retroscope.probing.tally import MDL, ProbeTally
from retroscope.representations.vectors import RetrieverRepresentations, VectorsRecipe
from retroscope.scores import Scores
from retroscope.statistics import IntervalSettings, summarise

NONE = "none"
CONCAT = "concat"
SHUFFLED = "shuffled_queries"


class RandomWeightsRecipe(TypedDict):
    """Name of the random-weight copy of the model, and how its probed vectors were computed."""

    name: str
    recipe: VectorsRecipe


class ProbeRecipe(TypedDict):
    """How the accuracies were measured, as JSON-like values: settings, vectors, and counts of queries and examples.

    `choices` is the number of probe examples, and `choices_dropped` the number of those with too few negatives. The
    next three keys have one value for each seed: the number of probe examples in each part, whether every part takes
    its negatives from its own passages, and the number of test examples whose query text is also in training.
    `independent_examples` has a number for every N (see `controls.independent_examples`).
    """

    settings: dict[str, Any]
    probes: list[str]
    controls: list[str]
    representations: VectorsRecipe
    random_weights: RandomWeightsRecipe | None
    queries: int
    choices: int
    choices_dropped: int
    split_sizes: list[dict[str, int]]
    own_negatives: list[bool]
    repeats: list[int]
    independent_examples: dict[str, float]


@dataclass(frozen=True, eq=False)
class ProbeResult:
    """Accuracy of every query under every probe, control, N and layer, with evidence that the fits converged.

    Attributes:
        model: name of the retriever.
        scores: (query, probe, control, passages, layer) accuracy of each query: the mean over its probe examples and
            over the seeds that tested it.
        by_seed: (seed, probe, control, passages, layer) mean over the queries that the seed tested. Under "default" the
            seeds test different queries, so their spread includes the sampling of queries.
        mdl: (query, control, passages, layer) code length of each query in bits, the mean over its probe examples and
            seeds, or None unless "mdl" was requested.
        fits: (seed, probe, control, passages, layer) training accuracy, ridge, iterations, gradient,
            excess and converged (see `ProbeOutcome`).
        split_sizes: (seed, part) number of probe examples for training, validation and test.
        layer_names: name of each layer, by its number.
        recipe: how the accuracies were measured.
        warnings: reasons to doubt the accuracies.
    """

    model: str
    scores: Scores
    by_seed: xr.DataArray
    mdl: Scores | None
    fits: xr.Dataset
    split_sizes: xr.DataArray
    layer_names: Mapping[int, str]
    recipe: ProbeRecipe
    warnings: tuple[str, ...]

    def with_texts(self, texts: Mapping[str, int]) -> "ProbeResult":
        """Return a copy of the result that records which queries have the same text.

        Args:
            texts: query id -> index of its distinct text.
        """
        mdl = None if self.mdl is None else self.mdl.with_texts(texts)
        return replace(self, scores=self.scores.with_texts(texts), mdl=mdl)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Describe which probe examples were left out or have easier negatives; the accuracies are not in doubt."""
        notes = []
        if any(self.recipe["own_negatives"]):
            notes.append(
                "the corpus is too small for the usual split: training, validation and test each take their hard "
                "negatives from their own passages, and these are easier than the hardest negatives of the corpus"
            )
        if any(self.recipe["repeats"]):
            repeats, tests = sum(self.recipe["repeats"]), int(self.split_sizes.sel(part="test").sum())
            notes.append(f"{repeats:,} of {tests:,} test examples have a query text that is also in training")
        dropped, used = self.recipe["choices_dropped"], self.recipe["choices"]
        most = max(int(n) for n in self.scores.values.coords["passages"].values) - 1
        if dropped:
            verbs = ("has", "is") if dropped == 1 else ("have", "are")
            notes.append(
                f"{dropped:,} of {count(dropped + used, 'query-passage pair')} {verbs[0]} fewer than {most} hard "
                f"negatives and {verbs[1]} left out of the probes"
            )
        return tuple(notes)

    def selectivity(self) -> xr.DataArray | None:
        """Return the mean accuracy minus the mean accuracy with shuffled queries; None if that control was not run.

        The dimensions are (probe, passages, layer).
        """
        means = self.scores.mean()
        if not {NONE, SHUFFLED} <= {str(name) for name in means.coords["control"].values}:
            return None
        difference: xr.DataArray = means.sel(control=NONE, drop=True) - means.sel(control=SHUFFLED, drop=True)
        return difference

    def compression(self) -> xr.DataArray | None:
        """Return the length of the uniform code divided by the mean length of the online code; None without "mdl".

        It is 1 where the probe predicts no better than chance. The dimensions are (control, passages, layer).
        """
        if self.mdl is None:
            return None
        uniform: xr.DataArray = np.log2(self.mdl.values.coords["passages"].astype(float))
        return uniform / self.mdl.mean()

    def records(self, level: float = 0.95) -> list[ProbeRecord]:
        """Return one row per probe, control, N and layer, with the accuracy and its interval over queries."""
        summary = summarise(self.scores, IntervalSettings(level=level))
        summary["train_accuracy"] = self.fits["train_accuracy"].mean("seed")
        spread = self.by_seed.std("seed", ddof=min(1, self.by_seed.sizes["seed"] - 1))
        selectivity = self.selectivity()
        return [self._record(cell, summary.sel(cell), spread.sel(cell), selectivity) for cell in _cells(self.scores)]

    def by_seed_frame(self) -> pd.DataFrame:
        """Return a data frame of test and training accuracies, with a row for each seed, probe, control, N and layer.

        The training accuracy is NaN for a probe that is not trained.
        """
        table = xr.Dataset({"accuracy": self.by_seed, "train_accuracy": self.fits["train_accuracy"]})
        return table.to_dataframe().reset_index().rename(columns={"passages": "n_passages"})

    def _record(
        self, cell: dict[str, Any], at: xr.Dataset, spread: xr.DataArray, selectivity: xr.DataArray | None
    ) -> ProbeRecord:
        bare = {dim: label for dim, label in cell.items() if dim != "control"}
        own = cell["control"] == NONE and selectivity is not None
        return {
            "model": self.model,
            "probe": cell["probe"],
            "control": cell["control"],
            "n_passages": cell["passages"],
            "layer": cell["layer"],
            "accuracy": float(at["mean"]),
            "ci_low": float(at["ci_low"]),
            "ci_high": float(at["ci_high"]),
            "train_accuracy": None if np.isnan(at["train_accuracy"]) else float(at["train_accuracy"]),
            "seeds": self.by_seed.sizes["seed"],
            "seed_sd": float(spread),
            "layer_name": self.layer_names[cell["layer"]],
            "selectivity": float(selectivity.sel(bare)) if own and selectivity is not None else None,
            "n_queries": int(at["n"]),
        }


def probe_result(
    tally: ProbeTally, representations: RetrieverRepresentations, of_random: RetrieverRepresentations | None
) -> ProbeResult:
    """Return the mean accuracies and code lengths of all probes, computed from their running sums.

    Args:
        tally: sums over all probe examples and seeds.
        representations: the vectors that were probed.
        of_random: the vectors of the random-weight copy, if they were probed, too.
    """
    recipe, warnings = _recipe(tally, representations, of_random), _warnings(tally, representations)
    plan, tested = tally.plan, tally.tests > 0
    credit = tally.credit[tested] / tally.tests[tested].reshape(-1, 1, 1, 1, 1)
    bits = tally.bits / _choices(tally).reshape(-1, 1, 1, 1)
    names = representations.query.layer_names
    return ProbeResult(
        model=representations.name,
        scores=Scores("probing", credit, recipe, warnings, plan.task.shared),
        by_seed=tally.by_seed,
        mdl=Scores(MDL, bits, recipe, warnings, plan.task.shared) if plan.has_mdl else None,
        fits=_fits(tally),
        split_sizes=_split_sizes(tally),
        layer_names={layer: names[layer] for layer in plan.layers},
        recipe=recipe,
        warnings=warnings,
    )


def _fits(tally: ProbeTally) -> xr.Dataset:
    fits = tally.fits
    return xr.Dataset(
        {**fits, "iterations": fits["iterations"].astype(int), "converged": fits["converged"].astype(bool)}
    )


def _cells(scores: Scores) -> list[dict[str, Any]]:
    """Return every combination of the labels probe, control, passages (N) and layer as a dictionary."""
    dims = [str(dim) for dim in scores.values.dims[1:]]
    labels = [scores.values.coords[dim].values.tolist() for dim in dims]
    return [dict(zip(dims, cell, strict=True)) for cell in product(*labels)]


def _choices(tally: ProbeTally) -> np.ndarray:
    """Count the code lengths of each query: its number of probe examples times the number of seeds."""
    task = tally.plan.task
    return np.bincount(task.query, minlength=len(task.query_ids)) * len(tally.plan.splits)


def _split_sizes(tally: ProbeTally) -> xr.DataArray:
    sizes = [split.sizes() for split in tally.plan.splits]
    coords = {"seed": [split.seed for split in tally.plan.splits], "part": list(sizes[0])}
    return xr.DataArray([list(size.values()) for size in sizes], coords, ("seed", "part"))


def _recipe(
    tally: ProbeTally, representations: RetrieverRepresentations, of_random: RetrieverRepresentations | None
) -> ProbeRecipe:
    plan = tally.plan
    tests = {split.seed: split.test for split in plan.splits}
    independent = independent_examples(tests, tuple(plan.settings.passages))
    return {
        "settings": asdict(plan.settings),
        "probes": list(plan.settings.chosen_probes),
        "controls": list(plan.controls),
        "representations": representations.recipe,
        "random_weights": None if of_random is None else {"name": of_random.name, "recipe": of_random.recipe},
        "queries": len(plan.task.query_ids),
        "choices": len(plan.task.query),
        "choices_dropped": plan.task.dropped,
        "split_sizes": [split.sizes() for split in plan.splits],
        "own_negatives": [split.own_negatives for split in plan.splits],
        "repeats": [split.repeats for split in plan.splits],
        "independent_examples": {str(n): worth for n, worth in independent.items()},
    }


def _warnings(tally: ProbeTally, representations: RetrieverRepresentations) -> tuple[str, ...]:
    plan = tally.plan
    warnings = list(representations.warnings)
    warnings += [
        f"control {name!r} was not measured: it needs the vectors of a copy with random weights"
        for name in plan.settings.chosen_controls
        if name not in plan.controls
    ]
    warnings += [warning for name in plan.probes if (warning := _fit_warning(tally, name))]
    if tally.mdl_unconverged:
        warnings.append(f"mdl: {tally.mdl_unconverged} code lengths rest on fits that did not converge")
    return tuple(warnings)


def _fit_warning(tally: ProbeTally, name: str) -> str:
    """Return a warning about the fits of one probe that did not converge, or "" if all did."""
    settings = tally.plan.settings
    bad = int((tally.fits["converged"].sel(probe=name) == 0).sum())
    if name == CONCAT:
        steps = f"{settings.concat.epochs} epochs at learning rate {settings.concat.learning_rate:g}"
        return (
            f"concat was trained as published ({steps}), not to convergence; it has no term that combines query and "
            "passage, so it cannot measure relevance"
        )
    if bad:
        worst = float(tally.fits["excess"].sel(probe=name).max())
        return (
            f"{name}: {bad} of {tally.fits['converged'].sel(probe=name).size} fits did not converge in "
            f"{settings.max_iterations} iterations (loss up to {worst:.1e} nats above its minimum)"
        )
    return ""
