"""summary.json: the study in numbers, for other programs. Schema in docs/reference/json.md."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from retroscope.analyses.baselines.summary import baseline_document
from retroscope.analyses.neurons.ablation_words import confirmed, confirmed_fractions
from retroscope.analyses.neurons.result import NeuronSide
from retroscope.analyses.neurons.sides import Neurons
from retroscope.analyses.trainings.summary import training_document
from retroscope.analyses.transplants.measure import interactions_document
from retroscope.documents import SCHEMA, as_json, clean, ordered, write_text
from retroscope.scores import Scores
from retroscope.statistics.difference import Difference
from retroscope.statistics.settings import ComparisonSettings
from retroscope.statistics.summaries import summarise
from retroscope.study.settings import plain
from retroscope.study.study import Study
from retroscope.study.verdict import verdict

SUMMARY = "summary.json"

Record = dict[str, Any]


def summary(study: Study) -> Record:
    """Everything that the report says in numbers."""
    facts, said, hybrids = study.facts, verdict(study.findings()), study.transplants
    document = {
        "schema": SCHEMA,
        "title": facts["title"],
        "protocol": study.settings.protocol,
        "verdict": [s.text for s in said.everything()],
        "unconfirmed": [s.text for s in said.unconfirmed],
        "caveats": list(facts["caveats"]),
        "before": facts["before"],
        "after": facts["after"],
        "collection": facts["collection"],
        "retrieval": {r.pop("measure"): r for r in _records(study.retrieval)},
        "layers": _records(study.layers),
        "probing": list(facts["probing"]),
        "probing_differences": _records(study.probing),
        "mdl": _records(study.mdl),
        "bare": _bare(study),
        "neurons": _neurons(study.neurons, study.neuron_profile),
        "query_neurons": _neurons(study.query_neurons, study.query_neuron_profile),
        "moved": _moved(study),
        "elsewhere": _elsewhere(study),
        "transplants": _transplants(study),
        "transplant_controls": None if hybrids is None else hybrids.controls.to_dict(orient="records"),
        "transplant_interactions": None if hybrids is None else interactions_document(hybrids),
        "trainings": training_document(study.findings().trainings),
        "baselines": baseline_document(study.findings().baselines),
        "story": _story(study),
        "statistics": {**study.retrieval.method},
        "settings": plain(study.settings),
        "versions": facts["versions"],
        "timings": facts["timings"],
        "command": facts["command"],
    }
    return {name: clean(value) for name, value in document.items()}


def _bare(study: Study) -> Record | None:
    """What was measured by layer without the final norm on each."""
    bare = study.bare
    if bare is None:
        return None
    moved = bare.moved
    return {
        "layers": _records(bare.layer_retrieval),
        "probing_differences": _records(bare.probing),
        "similarity": [] if moved is None else moved.similarity.to_dict(orient="records"),
        "geometry": [] if moved is None else moved.shape.to_dict(orient="records"),
    }


def _moved(study: Study) -> Record | None:
    """Weights by layer and part, similarity and geometry by layer, retrieval with whitened vectors."""
    moved = study.moved
    if moved is None:
        return None
    return {
        "weights": {tower: f.groups.to_dict(orient="records") for tower, f in moved.weights.items()},
        "similarity": moved.similarity.to_dict(orient="records"),
        "geometry": moved.shape.to_dict(orient="records"),
        "whitened": {r.pop("measure"): r for r in _records(study.whitened)},
        "texts": dict(moved.texts),
    }


def _elsewhere(study: Study) -> Record | None:
    """Retrieval and similarity by layer on the second collection."""
    found = study.findings().elsewhere
    if found is None:
        return None
    return {
        "collection": found.collection,
        "retrieval": {r.pop("measure"): r for r in _records(found.retrieval)},
        "similarity": found.moved.similarity.to_dict(orient="records"),
        "geometry": found.moved.shape.to_dict(orient="records"),
        "texts": dict(found.moved.texts),
    }


def _transplants(study: Study) -> list[Record] | None:
    """Every hybrid against its intact receiver."""
    return None if study.transplants is None else study.transplants.table().to_dict(orient="records")


def _story(study: Study) -> Record | None:
    """What every instrument says of the same parts, and what the transplants say of that."""
    story = study.story
    if story is None:
        return None
    return {name: getattr(story, name).to_dict(orient="records") for name in ("evidence", "most", "claims")}


def _neurons(neurons: Neurons | None, profile: Difference | None) -> Record | None:
    """Both sides' attribution in numbers, the paired differences of its statistics, and how far the two agree."""
    if neurons is None:
        return None
    agreement = neurons.agreement
    return {
        **{name: neuron_facts(side) for name, side in neurons.sides.items()},
        "differences": _records(profile),
        "overlap": [] if agreement is None else agreement.to_dict(orient="records"),
    }


def neuron_facts(side: NeuronSide) -> Record:
    """Units, recipe, warnings and ablation of one side."""
    ablation = side.ablation
    return {
        "units": side.units,
        "noise": side.noise,
        "recipe": ordered(side.recipe),
        "warnings": list(side.warnings),
        "ablation": None
        if ablation is None
        else {
            "confirmed_at": list(confirmed_fractions(ablation)) if confirmed(ablation) else [],
            "table": ablation.table.to_dict(orient="records"),
            "areas": ablation.areas.to_dict(orient="records"),
            "recipe": ordered(ablation.recipe),
            "warnings": list(ablation.warnings),
        },
    }


def write_summary(study: Study, folder: Path) -> Record:
    """Write `summary.json` below `folder`, and return it."""
    made = summary(study)
    write_text(folder / SUMMARY, as_json(made))
    return made


def measure_table(scores: Scores, settings: ComparisonSettings) -> dict[str, Record]:
    """Measure -> mean and interval, of one retriever."""
    table = summarise(scores, settings.intervals)
    return {str(m): _numbers(table.sel(measure=m), ("mean", "ci_low", "ci_high", "n")) for m in table["measure"].values}


def _records(difference: Difference | None) -> list[Record]:
    """One record a cell: its labels, both sides, the difference."""
    if difference is None:
        return []
    records = []
    for row in difference.to_frame().to_dict(orient="records"):
        labels = {_LABELS.get(str(dim), str(dim)): row[dim] for dim in difference.before.values.dims[1:]}
        sides = {side: _side(row, side) for side in ("before", "after")}
        change = {"mean": row["effect"]} | {name: row[name] for name in _CHANGE}
        records.append(clean({**labels, **sides, "difference": change, "n": row["n"]}))
    return records


_LABELS = {"passages": "n_passages"}
_CHANGE = (
    "ci_low",
    "ci_high",
    "p",
    "p_corrected",
    "test_used",
    "wins",
    "ties",
    "losses",
    "p_equivalence",
    "equivalent",
)


def _side(row: Mapping[str, Any], side: str) -> Record:
    return {"mean": row[side], "ci_low": row[f"{side}_low"], "ci_high": row[f"{side}_high"]}


def _numbers(table: xr.Dataset, names: tuple[str, ...]) -> Record:
    return {name: clean(table[name].item()) for name in names}
