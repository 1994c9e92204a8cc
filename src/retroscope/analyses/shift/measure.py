"""Sample passages of a collection, and store their words, numbers of tokens and vectors."""

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import pandas as pd
import xarray as xr

from retroscope.analyses.analysis import Instrument, Planned
from retroscope.analyses.context import Context
from retroscope.analyses.measurement import Measurement
from retroscope.collection.collection import Collection
from retroscope.collection.records import first_of_each
from retroscope.drift.settings import ShiftSettings
from retroscope.drift.shift import count_words
from retroscope.encoders.encoder import Encoder
from retroscope.representations.vectors import Vectors
from retroscope.statistics.resampling.jackknife import fewest_texts
from retroscope.typesetting.subject import BEFORE

LONGEST = 100_000  # characters of a passage that are read: a text of megabytes would take gigabytes to tokenise
SECONDS_A_TEXT = 2e-3  # to split a passage into words and tokens
SECONDS = 0.2


def refusal(context: Context, settings: ShiftSettings) -> str:
    """Return the reason why domain shift cannot be measured, e.g. too few passages, or "" if there is none."""
    if not context.is_pair:
        return "domain shift is measured only for a backbone and a retriever, but only one model is given"
    if not context.further:
        return "there is no second collection"
    drawn, needed = len(_drawn(context.collection, settings)), 2 * fewest_texts(settings.neighbours)
    return (
        ""
        if drawn >= needed
        else f"{drawn} distinct passages are too few for confidence intervals ({needed} are needed)"
    )


def plan(context: Context, settings: ShiftSettings) -> Planned:
    """Plan the sample: count its passages, and estimate the seconds."""
    n = min(len(context.collection.passages), settings.texts)
    return Planned(lines=(f"domain shift: {n:,} passages",), seconds=SECONDS + SECONDS_A_TEXT * n)


def measure(context: Context, settings: ShiftSettings, planned: Planned) -> Measurement:
    """Return numbers of tokens, word counts and vectors for a random sample of passages.

    The passages are in random order. Words and tokens are counted in the first `LONGEST` characters of a passage. The
    dataset "passages" has the numbers of tokens and of unknown tokens, (passage), and the final vectors by each model,
    (passage, dimension). The frame "words" has how often each word occurs in each passage: row, word, count.
    """
    stages = context.stages("domain shift")
    ids = _drawn(context.collection, settings)
    texts = [context.collection.passage_text(text_id)[:LONGEST] for text_id in ids]
    tokens, unknown = _tokens(context.models[BEFORE].passage, texts)
    vectors = {side: (("passage", f"dimension {side}"), _final(context, side, ids)) for side in context.models}
    drawn = xr.Dataset({"tokens": ("passage", tokens), "unknown": ("passage", unknown), **vectors})
    counts, vocabulary = count_words(texts)
    cells = counts.tocoo()
    words = pd.DataFrame({"row": cells.row, "word": np.array(vocabulary)[cells.col], "count": cells.data})
    stages.ended("words and vectors")
    facts = {"settings": asdict(settings)}
    return Measurement(datasets={"passages": drawn}, frames={"words": words}, facts=facts, seconds=stages.seconds)


def _drawn(collection: Collection, settings: ShiftSettings) -> list[str]:
    """Return the ids of at most `settings.texts` distinct passages, in random order."""
    ids = list(collection.passages)
    order = [ids[k] for k in np.random.default_rng(settings.seed).permutation(len(ids))]
    distinct = first_of_each(map(collection.passage_text, order))
    return [order[k] for k, _ in zip(distinct, range(settings.texts), strict=False)]


def _tokens(encoder: Encoder, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Count the tokens and the unknown tokens of each text, without cutting any text."""
    rows = encoder.tokenizer(texts, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
    unknown = encoder.tokenizer.unk_token_id
    return _counts(map(len, rows)), _counts(sum(token == unknown for token in row) for row in rows)


def _counts(numbers: Iterator[int]) -> np.ndarray:
    return np.fromiter(numbers, dtype=np.int64)


def _final(context: Context, side: str, ids: list[str]) -> Vectors:
    """Return the final vectors of the passages with these ids, by one model."""
    passages = context.encoded(context.models[side]).vectors.passage
    _, final = passages.store.texts(passages.rows(ids))
    return final.astype(np.float32)


INSTRUMENT = Instrument(refusal, plan, measure)
