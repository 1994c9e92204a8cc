"""The paper's claim by architecture: fine-tuning adjusts activation, and does not reorganise what a probe reads."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import xarray as xr

from retroscope.analyses import analyses
from retroscope.analyses.neurons.settings import NeuronsSettings
from retroscope.analyses.neurons.stored import attributed
from retroscope.attribution.result import active
from retroscope.attribution.settings import AttributionSettings
from retroscope.collection.world.files import NEGATIVES_RUN, write_world
from retroscope.encoders.encoder import Retriever
from retroscope.files.whole import remove_whole, write_whole
from retroscope.inputs.load import collection_of, retriever_of
from retroscope.inputs.settings import DataSettings, ModelSettings, NegativesSettings, StudySettings
from retroscope.probing.settings import ProbeSettings
from retroscope.reproduction.claims import CellChange, ClaimOutcome, judged_changes
from retroscope.reproduction.published import Claim, published_study
from retroscope.statistics.resampling.crossed import crossed_mean
from retroscope.statistics.resampling.intervals import Interval
from retroscope.study.planning.plan import plan_study
from retroscope.study.run import run_study
from retroscope.typesetting.subject import MODEL
from universality_cells import Arm, load_fine_tuned, pretrained, recipe_of, retriever_place, world_of
from universality_numbers import LEVEL
from universality_shapes import Scale

FEWEST = 2  # seeds
CHOICES = 3  # passages that a probe chooses among
PROBES = ("cosine", "elementwise")
STUDY = "ielab-2025"  # whose rule and margin decide
SIDES = ("before", "after")
Z = NormalDist().inv_cdf(0.975)
UNCHANGED = Claim(
    name="universality", claim="fine-tuning leaves what a probe reads as it was", figure=1, model="dpr-question",
    statistic="largest_change", expects="unchanged",
)  # fmt: skip
THRESHOLD, PART = 0.1, "intermediate"  # a neuron is active from this share of the largest attribution on
EXAMPLES = 24  # questions whose neurons are attributed


def measure_claims(scale: Scale, arm: Arm, seed: int, work: Path) -> dict[str, Any]:
    """Return probes of every layer and the share of active neurons, of backbone and retriever, by question."""
    file = work / "claims" / f"{arm.name(seed)}.json"
    if file.exists():
        return dict(json.loads(file.read_text("utf-8")))
    world = work / "world"
    if not (world / NEGATIVES_RUN).exists():
        write_world(world_of(scale), world)
    before = retriever_of(ModelSettings(source=str(pretrained(scale, arm, seed, work)), load=recipe_of(arm)))
    after = load_fine_tuned(arm, retriever_place(work, arm, seed))
    cache = work / "vectors" / f"claims-{arm.name(seed)}"
    found = {side: _measured(one, world, cache / side) for side, one in zip(SIDES, (before, after), strict=True)}
    remove_whole(cache)
    write_whole(file, (json.dumps(found, indent=1) + "\n").encode())
    return found


def _measured(retriever: Retriever, world: Path, cache: Path) -> dict[str, Any]:
    """Return {"probes": {probe: {layer: {question: right}}}, "active": {question: share}} of one model."""
    remove_whole(cache)
    collection = collection_of(DataSettings(source=f"beir:{world}", split="test"))
    probes = ProbeSettings(passages=(CHOICES,), probes=PROBES, controls=("none",))
    attribution = AttributionSettings(tower="query", limit=EXAMPLES, thresholds=(THRESHOLD,), agreement=None)
    wanted = {"probes": probes, "neurons": NeuronsSettings(attribution=attribution, ablation=None)}
    left_out = {name: None for name, one in analyses().items() if not one.required}
    apart = NegativesSettings(how="run", run=str(world / NEGATIVES_RUN))
    settings = StudySettings(negatives=apart, random_weights=False, analyses={**left_out, **wanted})
    measured = run_study(plan_study({MODEL: retriever}, [collection], settings, cache=cache)).measured
    values = measured["probes"][0].scores[MODEL].values.sel(control="none", passages=CHOICES)
    neurons = attributed(measured["neurons"][0])["query"][MODEL].attribution.scores.values
    active_share = neurons.sel(statistic=active(THRESHOLD), part=PART).mean("layer")
    by_layer = {
        probe: {str(layer): _by_question(values.sel(probe=probe, layer=layer)) for layer in values.indexes["layer"]}
        for probe in PROBES
    }
    return {"probes": by_layer, "active": _by_question(active_share)}


def _by_question(values: xr.DataArray) -> dict[str, float]:
    series = values.to_series().dropna()
    return {str(query): float(value) for query, value in series.items()}


def claim_rows(scale: Scale, arms: Mapping[str, Arm], work: Path) -> Iterator[dict[str, Any]]:
    """Yield the curves and the rulings of every architecture that two seeds or more were measured of."""
    for name, arm in arms.items():
        files = [work / "claims" / f"{arm.name(seed)}.json" for seed in range(scale.seeds)]
        found = [json.loads(file.read_text("utf-8")) for file in files if file.exists()]
        if len(found) >= min(FEWEST, scale.seeds):
            for stratum, chosen in people_of(scale).items():
                for probe in PROBES:
                    yield from probe_rows(name, stratum, probe, found, chosen)
            yield active_row(name, found)


def people_of(scale: Scale) -> dict[str, set[str]]:
    """Return the questions of known and of unknown people."""
    splits = world_of(scale).splits
    return {one: {query.id for query, _ in splits[f"{one}-held-out"]} for one in ("known", "unknown")}


def probe_rows(
    name: str, stratum: str, probe: str, found: Sequence[Mapping[str, Any]], chosen: set[str]
) -> Iterator[dict[str, Any]]:
    """Yield a probe's accuracy at every layer, its change, and what the rule of `reproduce` says of all changes."""
    at = {"arm": name, "instrument": f"probe {probe}", "stratum": stratum, "seeds": len(found)}
    changes = []
    for layer in found[0]["before"]["probes"][probe]:
        curves = {side: [one[side]["probes"][probe][layer] for one in found] for side in SIDES}
        asked = chosen.intersection(*(one for several in curves.values() for one in several))
        sides = [np.array([_row(one, asked) for one in curves[side]]) for side in SIDES]
        for side, values in (*zip(SIDES, sides, strict=True), ("change", sides[1] - sides[0])):
            estimate = crossed_mean(values, LEVEL, (-1, 1) if side == "change" else (0, 1))
            yield {**at, "layer": layer, "side": side, **_ends(estimate), "outcome": ""}
        half = float(max(estimate.high - estimate.mean, estimate.mean - estimate.low))  # one end may be cut at +-1
        changes.append(CellChange(passages=CHOICES, layer=int(layer), change=float(estimate.mean), error=half / Z))
    ruling = judged_changes(published_study(STUDY), UNCHANGED, changes, "here")
    ends = {"value": ruling.value, "low": ruling.low, "high": ruling.high}
    yield {**at, "layer": "all", "side": "largest change", **ends, "outcome": str(ruling.outcome)}


def active_row(name: str, found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the change of the share of active neurons; the claim is that there is one, in either direction."""
    shared = set.intersection(*({*one[side]["active"]} for one in found for side in SIDES))
    before, after = (np.array([_row(one[side]["active"], shared) for one in found]) for side in SIDES)
    estimate = crossed_mean(after - before, LEVEL, (-1, 1))
    adjusted = bool(estimate.low > 0 or estimate.high < 0)
    said = ClaimOutcome.HOLDS if adjusted else ClaimOutcome.UNDECIDED
    at = {"arm": name, "instrument": "active neurons", "stratum": "all", "seeds": len(found)}
    return {**at, "layer": "all", "side": "change", **_ends(estimate), "outcome": str(said)}


def _row(values: Mapping[str, float], chosen: set[str]) -> list[float]:
    return [values[query] for query in sorted(chosen)]


def _ends(estimate: Interval) -> dict[str, float]:
    return {"value": float(estimate.mean), "low": float(estimate.low), "high": float(estimate.high)}
