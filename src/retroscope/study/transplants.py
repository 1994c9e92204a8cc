"""Which parts matter? The weights of one model put into the other, part by part, and retrieval measured each time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import xarray as xr

from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Retriever
from retroscope.errors import SettingsError
from retroscope.reporting.transplant_report import TransplantFindings
from retroscope.representations.store import Representations, RetrieverRepresentations, representations_in_memory
from retroscope.retrieval.measures import parse_measure
from retroscope.retrieval.retrieve import retrieve
from retroscope.scores import Scores
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.difference import Difference
from retroscope.statistics.settings import ComparisonSettings
from retroscope.study.ablation_trial import same_weights, texts_of
from retroscope.study.compare import check_pair, recipe_differences
from retroscope.study.documents import SCHEMA, clean
from retroscope.study.load import collection_of, pair_of
from retroscope.study.provenance import command_line, software
from retroscope.study.sampled import sampled
from retroscope.study.settings import DataSettings, ModelSettings, plain
from retroscope.surgery.transplant import named, sweep, transplanted

Progress = Callable[[str, int, int], None]
DIRECTIONS = {"rewind": ("after", "before"), "graft": ("before", "after")}  # name -> receiver, donor
TOWERS = ("query", "passage")


@dataclass(frozen=True, kw_only=True)
class TransplantSettings:
    """How transplants are made and measured.

    Attributes:
        before: the backbone.
        after: the retriever fine-tuned from it.
        data: the collection.
        directions: "rewind" puts the backbone's weights into the retriever, "graft" the converse.
        transplants: names (see `surgery.transplant.Transplant`); None: every block alone and from both ends, every
            part, and interpolations by `shares`.
        shares: of the donor, in interpolations.
        measures: ir-measures names; the first is the headline.
        passages: search at most so many, a sample of a larger corpus (see `study.sampled`); 0 searches all of it.
        seed: of the sample.
        batch_tokens: padded tokens of a batch; None takes what suits the device.
        statistics: every hybrid against its intact receiver, paired by query; the hybrids of a measure are a family.
    """

    before: ModelSettings | None = None
    after: ModelSettings | None = None
    data: DataSettings | None = None
    directions: tuple[str, ...] = ("rewind", "graft")
    transplants: tuple[str, ...] | None = None
    shares: tuple[float, ...] = (0.25, 0.5, 0.75)
    measures: tuple[str, ...] = ("RR@10", "nDCG@10")
    passages: int = 1000
    seed: int = 0
    batch_tokens: int | None = None
    statistics: ComparisonSettings = field(default_factory=ComparisonSettings)

    def __post_init__(self) -> None:
        for name in self.directions:
            if name not in DIRECTIONS:
                raise SettingsError(f"there is no direction {name!r}", fix=f"use {' or '.join(DIRECTIONS)}")
        if self.passages < 0 or self.passages == 1:
            raise SettingsError(f"passages is {self.passages}", fix="give at least 2, or 0 for the whole corpus")
        if not self.directions or not self.measures:
            raise SettingsError("no direction or no measure", fix="name at least one of each")
        for name in self.measures:
            parse_measure(name)


def transplant(
    before: Retriever,
    after: Retriever,
    collection: Collection,
    settings: TransplantSettings | None = None,
    progress: Progress | None = None,
) -> TransplantFindings:
    """Retrieval with hybrids of a backbone and its retriever, each against its intact receiver.

    Args:
        before: the backbone.
        after: the retriever fine-tuned from it.
        collection: on which both are measured.
        settings: which hybrids; `before`, `after` and `data` in it are ignored.
        progress: told (what, done, total).

    Raises:
        EncoderError: for two architectures.
    """
    chosen = settings or TransplantSettings()
    check_pair(before, after)
    if all(same_weights(before.tower(tower), after.tower(tower)) for tower in TOWERS):
        raise SettingsError(
            f"{before.name} and {after.name} have the same weights: there is nothing to transplant",
            fix="give the backbone, and the retriever that was fine-tuned from it",
        )
    depth = after.passage.anatomy.n_blocks
    names = chosen.transplants or sweep(depth, chosen.shares)
    for name in names:
        named(name, depth)
    searched = sampled(collection, collection.judged_queries, chosen.passages, chosen.seed)
    run = _Run(searched, tuple(dict.fromkeys(("none", *names, "all"))), chosen, progress)
    models = {"before": before, "after": after}
    return TransplantFindings(
        before=before.name,
        after=after.name,
        collection=collection.name,
        n_blocks=depth,
        differences={direction: _direction(direction, models, run) for direction in chosen.directions},
        measures=chosen.measures,
        caveats=_caveats(before, after, collection, searched),
        command=command_line(),
        settings=plain(chosen),
        versions=software(),
    )


@dataclass(frozen=True)
class _Run:
    """What all hybrids share."""

    collection: Collection
    names: tuple[str, ...]
    settings: TransplantSettings
    progress: Progress | None


def _direction(direction: str, models: Mapping[str, Retriever], run: _Run) -> Difference:
    """Every hybrid of one receiver against the receiver intact."""
    receiver, donor = (models[role] for role in DIRECTIONS[direction])
    vectors = {tower: _vectors(direction, (receiver, donor), tower, run) for tower in TOWERS}
    values = []
    for name in run.names:
        query, passage = (vectors[tower][name] for tower in TOWERS)
        made = RetrieverRepresentations(receiver.name, query, passage, receiver.similarity, {})
        values.append(retrieve(made, run.collection, run.settings.measures).scores.values)
    whole = xr.concat(values, dim=xr.Variable("transplant", list(run.names)))
    changed = [name for name in run.names if name != "none"]
    hybrids = whole.sel(transplant=changed).transpose("query", "transplant", "measure")
    intact = xr.zeros_like(hybrids) + whole.sel(transplant="none", drop=True)
    recipe = {"direction": direction, "receiver": receiver.name, "donor": donor.name}
    before, after = (Scores("transplants", v, recipe) for v in (intact, hybrids))
    return compare_scores(before, after, replace(run.settings.statistics, family_per=("measure",)))


def _vectors(direction: str, pair: tuple[Retriever, Retriever], tower: str, run: _Run) -> dict[str, Representations]:
    """The final vectors of one tower's texts under every transplant."""
    receiver, donor = (retriever.tower(tower) for retriever in pair)
    texts = texts_of(pair[0], run.collection, tower, run.settings.batch_tokens)
    done = 0

    def told(n: int) -> None:
        nonlocal done
        done += n
        if run.progress:
            run.progress(f"{direction}: {tower} texts", done, len(texts.ids))

    found = transplanted(receiver, donor, texts.rows, run.names, tokens=texts.tokens, told=told)
    return {name: representations_in_memory(texts.ids, final[:, None].numpy()) for name, final in found.items()}


def _caveats(before: Retriever, after: Retriever, whole: Collection, searched: Collection) -> tuple[str, ...]:
    said = [f"{len(searched.judged_queries):,} queries over {len(searched.passages):,} passages were measured"]
    said += [f"{text}; a hybrid has its receiver's recipe" for text in recipe_differences(before, after)]
    if len(searched.passages) < len(whole.passages):
        said.append(
            f"a sample of {len(searched.passages):,} of {len(whole.passages):,} passages was searched, with "
            f"{len(searched.queries):,} queries: measures are higher than over the whole corpus"
        )
    return (*said, *whole.notes)


def run_transplants(settings: TransplantSettings, progress: Progress | None = None) -> TransplantFindings:
    """Load what the settings name, and transplant."""
    collection = collection_of(settings.data)
    before, after = pair_of(settings.before, settings.after)
    return transplant(before, after, collection, settings, progress)


def transplant_document(f: TransplantFindings) -> dict[str, Any]:
    """What `transplant --json` says."""
    made: dict[str, Any] = clean(
        {
            "schema": SCHEMA,
            "title": f.title,
            "verdict": [s.text for s in f.verdict()],
            "caveats": list(f.caveats),
            "transplants": f.table().to_dict(orient="records"),
            "settings": dict(f.settings),
            "versions": dict(f.versions),
            "command": f.command,
        }
    )
    return made
