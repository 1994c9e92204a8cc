"""What `retroscope neurons` does: one retriever, a collection or a file of texts, a report."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retroscope.analyses.neurons.attribute import (
    as_measured,
    check_target,
    plan_on_collection,
    plan_on_texts,
    published_files,
)
from retroscope.analyses.neurons.report import NeuronReport, write_neuron_report
from retroscope.analyses.neurons.result import SINGLE, NeuronFindings
from retroscope.analyses.neurons.sides import MeasuredNeurons, Neurons, heat_map, run_plan, save_neurons, wanted
from retroscope.attribution.plan import AttributionPlan, facts
from retroscope.attribution.units import left_out
from retroscope.collection.collection import Collection
from retroscope.collection.negatives import MinedNegatives
from retroscope.documents import SCHEMA, as_json, clean, write_text
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.encoders.proofs import SelfTest
from retroscope.inputs.encoding import doubts, tested
from retroscope.inputs.load import check_ids, collection_of, retriever_of
from retroscope.inputs.provenance import collection_facts, command_line, model_facts, software
from retroscope.progress import Progress
from retroscope.retrieval.measures import depth_caveats
from retroscope.statistics.summaries import summarise
from retroscope.study.compare import mine
from retroscope.study.embed import read_lines
from retroscope.study.facts import model_of
from retroscope.study.protocols import departures
from retroscope.study.settings import StudySettings, plain
from retroscope.study.summary import neuron_facts
from retroscope.typesetting.subject import CollectionFacts

TOP = 20  # neurons that the document names


@dataclass(frozen=True, eq=False)
class NeuronJob:
    """A planned run."""

    retriever: Retriever
    collection: Collection | None
    plan: AttributionPlan
    settings: StudySettings
    source: str = ""
    caveats: tuple[str, ...] = ()
    negatives: MinedNegatives | None = None

    @property
    def encoder(self) -> Encoder:
        """The tower whose network is scaled."""
        return self.plan.encoder


@dataclass(frozen=True, eq=False)
class NeuronRun:
    """What a run found; `document` is what `neurons --json` says."""

    job: NeuronJob
    measured: MeasuredNeurons
    document: dict[str, Any]

    @property
    def report(self) -> NeuronReport:
        """As the report wants it."""
        job, document = self.job, self.document
        layout = heat_map(job.settings.protocol, self.measured.side)
        on = job.source if job.collection is None else job.collection.name
        return NeuronReport(
            title=f"Neurons of {job.retriever.name} on {on}",
            protocol=job.settings.protocol,
            model=model_of(document["model"]),
            neurons=NeuronFindings({SINGLE: self.measured.side}, heat_map=layout),
            collection=None if job.collection is None else CollectionFacts(**document["collection"]),
            source=job.source,
            caveats=tuple(document["caveats"]),
            command=command_line(),
            settings=document["settings"],
            versions=document["versions"],
            timings=document["timings"],
        )


def prepare(settings: StudySettings, texts: Path | None) -> NeuronJob:
    """Load the model and what it reads, and plan the attribution."""
    chosen = wanted(settings)
    if texts is not None:
        check_target(chosen)
        lines = read_lines(texts)
        retriever = retriever_of(settings.after)
        return NeuronJob(
            retriever, None, plan_on_texts(retriever, lines, chosen, settings.protocol), settings, str(texts)
        )
    collection = collection_of(settings.data)
    check_ids(collection)
    retriever = retriever_of(settings.after)
    negatives = mine(collection, settings, probing=False)
    plan = plan_on_collection(retriever, collection, negatives.candidates, chosen, settings.protocol)
    said = (
        *collection.notes,
        *left_out(collection, negatives.candidates, chosen),
        *depths(settings, len(collection.passages)),
    )
    return NeuronJob(retriever, collection, plan, settings, "", said, negatives)


def depths(settings: StudySettings, passages: int) -> list[str]:
    """What the measures of the ablation do not say, over a corpus of so many passages or a sample of it."""
    if settings.ablation is None:
        return []
    searched = min(passages, settings.ablation.passages or passages)
    return depth_caveats(settings.ablation.measures, searched)


def run_neurons(job: NeuronJob, cache: Path, progress: Progress | None = None) -> NeuronRun:
    """Self-tests, attribution and ablation."""
    measured = as_measured(job.retriever, job.settings.protocol)
    self_tests = tested(measured)
    found = run_plan(job.plan, job.retriever, job.collection, job.settings, cache=cache, progress=progress)
    return NeuronRun(job, found, _document(job, measured, found, self_tests))


def save_run(run: NeuronRun, folder: Path) -> Path:
    """Write the report, the aggregates, `neurons.json` and, under `ielab-2025`, the published layout."""
    folder.mkdir(parents=True, exist_ok=True)
    save_neurons(Neurons({SINGLE: run.measured.side}, None), folder / "neurons")
    write_text(folder / "neurons.json", as_json(run.document))
    if run.job.settings.protocol == "ielab-2025":
        for name, content in published_files(run.measured.attribution, run.job.encoder).items():
            write_text(folder / name, as_json(content))
    return write_neuron_report(run.report, folder)


def _document(
    job: NeuronJob, measured: Retriever, found: MeasuredNeurons, self_tests: dict[str, list[SelfTest]]
) -> dict[str, Any]:
    side, level = found.side, job.settings.statistics.intervals
    rows = summarise(side.scores, level).to_dataframe().reset_index().to_dict(orient="records")
    document = {
        "schema": SCHEMA,
        "model": model_facts(measured, self_tests),
        "collection": None if job.collection is None else collection_facts(job.collection, job.negatives),
        "caveats": [
            *departures(job.settings),
            *job.caveats,
            *_cut(job.plan),
            *side.warnings,
            *doubts(self_tests),
        ],
        "plan": facts(job.plan),
        **neuron_facts(side),
        "statistics": rows,
        "top": _top(found),
        "settings": plain(job.settings),
        "versions": software(),
        "timings": found.seconds,
    }
    return {name: clean(value) for name, value in document.items()}


def _cut(plan: AttributionPlan) -> list[str]:
    """Texts that fill the maximum length."""
    rows = [row for unit in plan.tokens for row in unit]
    full = sum(len(row) >= plan.encoder.recipe.max_length for row in rows)
    said = f"{full} of {len(rows)} attributed texts fill the maximum of {plan.encoder.recipe.max_length} tokens"
    return [f"{said}, so their ends may be cut"] if full else []


def _top(found: MeasuredNeurons) -> list[dict[str, Any]]:
    """The neurons with the largest mean share, and their other aggregates."""
    rows = []
    for part, neurons in found.attribution.neurons.items():
        table = neurons[["signed", "mean", "share"]].to_dataframe().reset_index()
        rows += [{"part": part, **row} for row in table.nlargest(TOP, "share").to_dict(orient="records")]
    return sorted(rows, key=lambda row: -row["share"])[:TOP]
