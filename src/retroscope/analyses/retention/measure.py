"""Read facts from the hidden states of both models, and of a copy of the first model with random weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from retroscope.analyses.analysis import Instrument, Planned
from retroscope.analyses.context import Context
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.retention.left_out import indistinct_objects
from retroscope.analyses.retention.plan import RetentionWork, plan, refusal, retention_work
from retroscope.analyses.retention.result import (
    CONSISTENCY,
    FACTS,
    FOUND,
    LOSSES,
    RANDOM,
    VOCABULARY,
    LanguageHeadFacts,
    RetentionFacts,
)
from retroscope.analyses.retention.search import search_facts
from retroscope.analyses.retention.settings import RetentionSettings
from retroscope.collection.facts.loading import load_facts
from retroscope.encoders.checkpoints.language_heads import LanguageHead, NoLanguageHead, load_language_head
from retroscope.encoders.encoder import Encoder
from retroscope.files.documents import fingerprint
from retroscope.files.whole import file_digest
from retroscope.knowledge.readouts import HEAD, REFITTED, HeadReadout, Lesson, LinearReadout, Readout, fit_readout
from retroscope.knowledge.recall import MEASURES, TIED, most_frequent, recall
from retroscope.knowledge.states import states_at
from retroscope.scores import Scores

FEWEST_RELATIONS = 10  # with fewer relations, all facts of one subject are one observation


def measure(context: Context, settings: RetentionSettings, planned: Planned) -> Measurement:
    """Return how well each fact can be read from the hidden states of each model: (query, layer, readout, measure).

    The dimension `query` lists the facts. The scores are named by the role of the model, SIDE: "before", "after" or
    "model", and "random" for a copy with random weights. "SIDE/vocabulary" has the reciprocal ranks of one-token
    answers among all tokens, (query, layer). The frames are "facts" (one row for each fact), "losses" (of the read-outs
    on held-out text), "consistency" (over wordings), and "found" if the questions of the facts were searched.
    """
    work = retention_work(planned)
    encoders = {side: retriever.tower(settings.tower) for side, retriever in context.models.items()}
    first = next(iter(encoders))
    head = head_of(encoders[first])
    control = context.with_random_weights(first)
    if control is not None:
        encoders[RANDOM] = control.tower(settings.tower)
    stages = context.stages("retention")
    scores: dict[str, Scores] = {}
    losses, consistency = [], []
    for side, encoder in encoders.items():
        readout = _fitted(encoder, encoders[first], head, work, settings)
        losses += [{"side": side, "layer": k, "loss": loss} for k, loss in enumerate(readout.loss)]
        own = {HEAD: HeadReadout(head)} if isinstance(head, LanguageHead) and side != RANDOM else {}
        readouts: dict[str, Readout] = {**own, REFITTED: readout}
        by_name, agreement = _read(encoder, readouts, work, settings)
        scores |= {side if name == FACTS else f"{side}/{name}": part for name, part in by_name.items()}
        consistency.append(agreement.assign(side=side))
        stages.ended(f"facts, {side}")
    frames = {FACTS: _facts(work), LOSSES: pd.DataFrame(losses), CONSISTENCY: pd.concat(consistency)}
    if settings.search and any(fact.question and fact.passages for fact in work.sample.facts):
        frames[FOUND] = search_facts(context, work.sample, settings.found_at)
        stages.ended("search")
    return Measurement(
        scores=scores, frames=frames, facts=_about(head, work, settings), caveats=work.notes, seconds=stages.seconds
    )


def head_of(encoder: Encoder) -> LanguageHead | NoLanguageHead | None:
    """Return the language-model head of an encoder's checkpoint, or None for an encoder made in memory."""
    if encoder.source is None:
        return None
    return load_language_head(encoder.source.source, encoder.source.settings, tower=encoder.source.tower)


def _fitted(
    encoder: Encoder,
    backbone: Encoder,
    head: LanguageHead | NoLanguageHead | None,
    work: RetentionWork,
    settings: RetentionSettings,
) -> LinearReadout:
    """Fit one model's linear map from hidden states to token logits, for every layer.

    All models share the backbone's output matrix.
    """
    output = head.matrix if isinstance(head, LanguageHead) else backbone.backbone.get_input_embeddings().weight
    lesson = Lesson(states_at(encoder, work.places), work.targets, work.held_out)
    return fit_readout(lesson, output.detach().cpu(), work.words, settings.readout)


def _read(
    encoder: Encoder, readouts: Mapping[str, Readout], work: RetentionWork, settings: RetentionSettings
) -> tuple[dict[str, Scores], pd.DataFrame]:
    """Return the scores of each fact's first wording, and the consistency of the answers to several wordings."""
    n_layers, facts = encoder.anatomy.n_blocks + 1, work.facts.facts
    values = np.full((len(facts), n_layers, len(readouts), len(MEASURES)), np.nan)
    ranks = np.full((len(facts), n_layers, len(readouts)), np.nan)
    first: dict[int, dict[object, np.ndarray]] = {}  # by what the model reads: equal wordings agree by themselves
    for wording in work.wordings:
        recalled, rows = recall(encoder, wording.clozes, readouts, settings.seed), list(wording.clozes.rows)
        if wording.number == 0:
            values[rows] = recalled.measures.transpose(2, 1, 0, 3)
            ranks[rows] = recalled.vocabulary.transpose(2, 1, 0)
        for place, row in enumerate(rows):
            first.setdefault(row, {}).setdefault(wording.clozes.context(place), recalled.first[:, -1, place])
    read = np.isfinite(values[:, 0, 0, 0])
    ids = [fact.id for fact, there in zip(facts, read, strict=True) if there]
    coords = {"query": ids, "layer": list(range(n_layers)), "readout": list(readouts), "measure": list(MEASURES)}
    array = xr.DataArray(values[read], coords=coords, dims=tuple(coords))
    clusters = _clusters(work, settings)
    recipe = {"tower": settings.tower, "facts": work.facts.fingerprint}
    scores = {FACTS: Scores("facts", array, recipe).with_texts(clusters)}
    one_token = np.isfinite(ranks[..., 0]).all(1)  # the head comes first
    if HEAD in readouts and one_token.any():
        ids = [fact.id for fact, there in zip(facts, one_token, strict=True) if there]
        among_all = xr.DataArray(
            1 / ranks[one_token][..., 0],
            coords={"query": ids, "layer": list(range(n_layers))},
            dims=("query", "layer"),
        )
        scores[VOCABULARY] = Scores("facts in the vocabulary", among_all, recipe).with_texts(clusters)
    answers = {row: list(by_wording.values()) for row, by_wording in first.items()}
    return scores, _consistency(answers, [fact.id for fact in facts], list(readouts))


def _consistency(first: Mapping[int, list[np.ndarray]], ids: Sequence[str], readouts: Sequence[str]) -> pd.DataFrame:
    """Return how often two wordings of a fact give the same answer, for facts with several wordings, by read-out."""
    rows = [
        {"fact": ids[row], "readout": name, "wordings": len(tops), "consistency": _agreement([top[k] for top in tops])}
        for row, tops in first.items()
        if len(tops) > 1
        for k, name in enumerate(readouts)
    ]
    return pd.DataFrame(rows, columns=["fact", "readout", "wordings", "consistency"])


def _agreement(tops: list[int]) -> float:
    """Return the share of all pairs of wordings that rank the same object first.

    Args:
        tops: index of the first object for each wording. `TIED` (no single object is first) agrees with no wording.
    """
    equal = np.equal.outer(tops, tops) & (np.not_equal(tops, TIED) | np.eye(len(tops), dtype=bool))
    n = len(tops)
    return float((equal.sum() - n) / (n * (n - 1)))


def _clusters(work: RetentionWork, settings: RetentionSettings) -> dict[str, int]:
    """Return fact id -> index of its cluster, which is its relation or its subject."""
    names = {fact.id: getattr(fact, clustered_by(work, settings)) for fact in work.facts.facts}
    numbers: dict[str, int] = {}
    return {fact: numbers.setdefault(name, len(numbers)) for fact, name in names.items()}


def clustered_by(work: RetentionWork, settings: RetentionSettings) -> str:
    """Return how facts are clustered into observations: by "relation" or by "subject"."""
    if settings.clusters != "auto":
        return settings.clusters
    return "relation" if work.relations >= FEWEST_RELATIONS else "subject"


def _facts(work: RetentionWork) -> pd.DataFrame:
    """Return a row for each fact with its text, and with two baselines: chance, and P@1 of the most frequent object."""
    rows = []
    for wording in work.wordings:
        if wording.number == 0:
            frequent, objects = most_frequent(wording.clozes), len(wording.clozes.objects)
            for place, row in enumerate(wording.clozes.rows):
                fact = work.facts.facts[row]
                rows.append({"fact": fact.id, "relation": fact.relation, "subject": fact.subject, "object": fact.object,
                             "stratum": fact.stratum, "objects": objects, "chance": 1 / objects,
                             "most_frequent": float(frequent[place])})  # fmt: skip
    return pd.DataFrame(rows)


def _about(
    head: LanguageHead | NoLanguageHead | None, work: RetentionWork, settings: RetentionSettings
) -> RetentionFacts:
    own_head: LanguageHeadFacts | None = None
    no_head = "the model was not loaded from a checkpoint"
    if isinstance(head, LanguageHead):
        own_head, no_head = {"kind": head.kind, "tied": head.tied}, ""
    if isinstance(head, NoLanguageHead):
        no_head = head.reason.value
    return {
        "head": own_head,
        "no_head": no_head,
        "relations": work.relations,
        "left_out": {"unknown_object": len(work.chosen.unknown), "no_competitor": len(work.chosen.alone)},
        "same_tokens": len(indistinct_objects([wording.clozes for wording in work.wordings if wording.number == 0])),
        "layout": work.facts.layout,
        "clusters": clustered_by(work, settings),
        "words": len(work.words),
        "positions": len(work.targets) - work.held_out,
        "found_at": settings.found_at,
        "unknowable": list(settings.unknowable),
    }


def _inputs(settings: RetentionSettings) -> str:
    """Return a hash of the contents of the files of facts and of neutral text that the settings name."""
    text = None if settings.text is None else file_digest(Path(settings.text))
    return fingerprint([None if settings.facts is None else load_facts(settings.facts).fingerprint, text])


INSTRUMENT = Instrument(refusal, plan, measure, inputs=_inputs)
