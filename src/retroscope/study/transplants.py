"""Which parts matter? The weights of one model put into the other, part by part, and retrieval measured each time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import xarray as xr

from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.errors import EncoderError, SettingsError
from retroscope.reporting.transplant_findings import TransplantFindings
from retroscope.reporting.transplant_words import transplant_statements
from retroscope.representations.store import RetrieverRepresentations, representations_in_memory
from retroscope.retrieval.retrieve import retrieve
from retroscope.scores import Scores
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.difference import Difference
from retroscope.statistics.settings import ComparisonSettings
from retroscope.study.ablation_trial import Texts, same_weights, texts_of
from retroscope.study.cache import default_cache
from retroscope.study.documents import SCHEMA, clean
from retroscope.study.provenance import command_line, software
from retroscope.study.recipes import check_pair, recipe_differences, same_recipe
from retroscope.study.sampled import sampled
from retroscope.study.settings import DataSettings, ModelSettings, plain
from retroscope.study.transplant_settings import DIRECTIONS, SweepSettings
from retroscope.study.transplant_vectors import hybrid_vectors
from retroscope.surgery.transplant import check_pair as check_weights
from retroscope.surgery.transplant import named, sweep

Progress = Callable[[str, int, int], None]
TOWERS = ("query", "passage")
MEASURES = ("RR@10", "nDCG@10")  # where neither sweep nor study names any
MOST_HELD = 2**31  # numbers of all hybrids' vectors, which are in memory together
SIDES = ("before", "after")  # the two of a hybrid, 0 and 1
Measured = dict[str, tuple[Scores, Scores]]  # direction -> the receiver intact, and its hybrids


@dataclass(frozen=True, kw_only=True)
class TransplantSettings:
    """What `transplant` does.

    Attributes:
        before: the backbone.
        after: the retriever fine-tuned from it.
        data: the collection.
        sweep: which hybrids, and how they are measured.
        statistics: every hybrid against its intact receiver, paired by query; the hybrids of a measure are a family.
    """

    before: ModelSettings | None = None
    after: ModelSettings | None = None
    data: DataSettings | None = None
    sweep: SweepSettings = field(default_factory=SweepSettings)
    statistics: ComparisonSettings = field(default_factory=ComparisonSettings)


def transplant(
    before: Retriever,
    after: Retriever,
    collection: Collection,
    settings: TransplantSettings | None = None,
    progress: Progress | None = None,
    *,
    cache: str | Path | None = None,
) -> TransplantFindings:
    """Retrieval with hybrids of a backbone and its retriever, each against its intact receiver.

    Args:
        before: the backbone.
        after: the retriever fine-tuned from it.
        collection: on which both are measured.
        settings: which hybrids; `before`, `after` and `data` in it are ignored.
        progress: told (what, done, total).
        cache: folder where a sweep that is stopped goes on; by default the user's cache folder.

    Raises:
        EncoderError: for two architectures.
    """
    chosen = settings or TransplantSettings()
    check_transplants(before, after)
    home = Path(cache) if cache else default_cache()
    swept = replace(chosen.sweep, measures=chosen.sweep.measures or MEASURES)
    measured, caveats = measure_transplants(before, after, collection, swept, cache=home, progress=progress)
    return TransplantFindings(
        before=before.name,
        after=after.name,
        collection=collection.name,
        n_blocks=after.passage.anatomy.n_blocks,
        differences=differences(measured, chosen.statistics),
        measures=swept.measures or MEASURES,
        caveats=tuple(caveats),
        command=command_line(),
        settings=plain(chosen),
        versions=software(),
    )


def check_transplants(before: Retriever, after: Retriever) -> None:
    """Refuse a pair between which nothing can be transplanted, or nothing is worth it."""
    check_pair(before, after)
    check_towers(before, after)
    reason = same_models(before, after)
    if reason:
        raise SettingsError(reason, fix="give the backbone, and the retriever that was fine-tuned from it")


def check_towers(before: Retriever, after: Retriever) -> None:
    """Refuse two architectures."""
    for tower in TOWERS:
        check_weights(before.tower(tower), after.tower(tower))


def why_not(before: Retriever, after: Retriever) -> str:
    """Why nothing can be transplanted; empty where it can."""
    try:
        check_towers(before, after)
    except EncoderError as error:
        return error.what
    return same_models(before, after)


def same_models(before: Retriever, after: Retriever) -> str:
    """Why there is nothing to transplant; empty where there is."""
    if all(same_weights(before.tower(tower), after.tower(tower)) for tower in TOWERS):
        return f"{before.name} and {after.name} have the same weights: there is nothing to transplant"
    return ""


def measure_transplants(
    before: Retriever,
    after: Retriever,
    collection: Collection,
    settings: SweepSettings,
    *,
    cache: Path,
    progress: Progress | None = None,
) -> tuple[Measured, list[str]]:
    """Per-query scores of every hybrid and of its intact receiver, and what a reader must know of them.

    Raises:
        EncoderError: for two architectures.
    """
    pair = (before, after)
    check_towers(*pair)
    depth = after.passage.anatomy.n_blocks
    names = settings.transplants or sweep(depth, settings.shares, settings.groups)
    for name in names:
        named(name, depth)
    searched = sampled(collection, collection.judged_queries, settings.passages, settings.seed)
    wanted = tuple(dict.fromkeys(("none", *names, "all")))
    refuse_large(searched, len(wanted) * len(settings.directions), after)
    run = _Run(pair, searched, wanted, settings, cache, progress)
    vectors = {tower: _vectors(tower, run) for tower in TOWERS}
    found = {direction: _scores(direction, vectors, run) for direction in settings.directions}
    return found, _caveats(before, after, collection, searched)


def refuse_large(searched: Collection, hybrids: int, after: Retriever) -> None:
    """An error before hours are spent on vectors that memory cannot hold."""
    width = int(after.passage.backbone.config.get_text_config().hidden_size)
    texts = len(searched.passages) + len(searched.queries)
    if texts * hybrids * width > MOST_HELD:
        raise SettingsError(
            f"{hybrids} hybrids of {texts:,} texts are {4 * texts * hybrids * width / 2**30:,.0f} GiB of vectors",
            fix="search a sample (passages), or name fewer transplants",
        )


def check_names(depth: int, settings: SweepSettings) -> None:
    """Refuse a name that is none, before anything is encoded."""
    for name in settings.transplants or ():
        named(name, depth)


def differences(measured: Measured, statistics: ComparisonSettings) -> dict[str, Difference]:
    """Every hybrid against its intact receiver; those of a measure are one family."""
    chosen = replace(statistics, family_per=("measure",))
    return {direction: compare_scores(*scores, chosen) for direction, scores in measured.items()}


@dataclass(frozen=True)
class _Run:
    """What all hybrids share."""

    pair: tuple[Retriever, Retriever]
    collection: Collection
    names: tuple[str, ...]
    settings: SweepSettings
    cache: Path
    progress: Progress | None


def run_alike(one: Encoder, two: Encoder) -> bool:
    """Whether both may receive in one run: the same tokens are treated alike, and vectors have one width."""
    return same_recipe(one, two) and repr(one.head) == repr(two.head)


def receiver_of(direction: str) -> int:
    """Which of the two, 0 or 1, gets the other's weights."""
    return SIDES.index(DIRECTIONS[direction][0])


def _vectors(tower: str, run: _Run) -> dict[tuple[int, str], Any]:
    """The final vectors of one tower's texts under every transplant, both directions together where they can be."""
    encoders = (run.pair[0].tower(tower), run.pair[1].tower(tower))
    receivers = sorted({receiver_of(direction) for direction in run.settings.directions})
    texts = {r: texts_of(run.pair[r], run.collection, tower, run.settings.batch_tokens) for r in receivers}
    together = len(receivers) == 2 and run_alike(*encoders) and texts[0].rows == texts[1].rows
    told = _counter(tower, run, sum(len(t.rows) for t in texts.values()), len(receivers) if together else 1)
    if together:
        wanted = [(r, name) for r in receivers for name in run.names]
        return _held(encoders, texts[0], wanted, run, told)
    made: dict[tuple[int, str], Any] = {}
    for r in receivers:
        turned = encoders if r == 0 else (encoders[1], encoders[0])
        found = _held(turned, texts[r], [(0, name) for name in run.names], run, told)
        made |= {(r, name): vectors for (_, name), vectors in found.items()}
    return made


def _held(
    encoders: tuple[Encoder, Encoder],
    texts: Texts,
    wanted: Sequence[tuple[int, str]],
    run: _Run,
    told: Callable[[int], None],
) -> dict[tuple[int, str], Any]:
    found = hybrid_vectors(encoders, texts, wanted, run.cache, told)
    return {key: representations_in_memory(texts.ids, final[:, None]) for key, final in found.items()}


def _counter(tower: str, run: _Run, total: int, each: int) -> Callable[[int], None]:
    """Tells of texts: `total` of all directions, `each` directions at a time."""
    done = 0

    def told(n: int) -> None:
        nonlocal done
        done += n * each
        if run.progress:
            run.progress(f"transplants: {tower} texts", done, total)

    return told


def _scores(direction: str, vectors: Mapping[str, Mapping[tuple[int, str], Any]], run: _Run) -> tuple[Scores, Scores]:
    """The receiver intact and its hybrids, by (query, transplant, measure)."""
    side = receiver_of(direction)
    receiver, donor = run.pair[side], run.pair[1 - side]
    values = []
    for name in run.names:
        query, passage = (vectors[tower][side, name] for tower in TOWERS)
        made = RetrieverRepresentations(receiver.name, query, passage, receiver.similarity, {})
        values.append(retrieve(made, run.collection, run.settings.measures or MEASURES).scores.values)
    whole = xr.concat(values, dim=xr.Variable("transplant", list(run.names)))
    changed = [name for name in run.names if name != "none"]
    hybrids = whole.sel(transplant=changed).transpose("query", "transplant", "measure")
    intact = xr.zeros_like(hybrids) + whole.sel(transplant="none", drop=True)
    recipe = {"direction": direction, "receiver": receiver.name, "donor": donor.name}
    return Scores("transplants", intact, recipe), Scores("transplants", hybrids, recipe)


def _caveats(before: Retriever, after: Retriever, whole: Collection, searched: Collection) -> list[str]:
    said = [f"{len(searched.judged_queries):,} queries over {len(searched.passages):,} passages were measured"]
    said += [f"{text}; a hybrid has its receiver's recipe" for text in recipe_differences(before, after)]
    if len(searched.passages) < len(whole.passages):
        said.append(
            f"a sample of {len(searched.passages):,} of {len(whole.passages):,} passages was searched, with "
            f"{len(searched.queries):,} queries: measures are higher than over the whole corpus"
        )
    return [*said, *whole.notes]


def transplant_document(f: TransplantFindings) -> dict[str, Any]:
    """What `transplant --json` says."""
    made: dict[str, Any] = clean(
        {
            "schema": SCHEMA,
            "title": f.title,
            "verdict": [s.text for s in transplant_statements(f)],
            "caveats": list(f.caveats),
            "transplants": f.table().to_dict(orient="records"),
            "settings": dict(f.settings),
            "versions": dict(f.versions),
            "command": f.command,
        }
    )
    return made
