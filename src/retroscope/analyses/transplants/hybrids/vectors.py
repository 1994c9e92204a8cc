"""The final vectors of many hybrids, written to disk after every few texts, so that an interrupted run can resume."""

import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from retroscope.encoders.encoder import Encoder
from retroscope.encoders.precision import EXACT
from retroscope.files.cache_records import CacheOrigin, used
from retroscope.files.checksums import read_if_sound
from retroscope.files.documents import fingerprint
from retroscope.files.whole import checked_file
from retroscope.inputs.texts import TowerTexts
from retroscope.surgery.hybrids import hybrids
from retroscope.surgery.ownership import HybridKey
from retroscope.surgery.random_changes import RandomChanges

WINDOW = 64  # texts between two writes
FOLDER = "transplants"  # of the cache
FORMAT = 2  # of the windows: another number is another key


def hybrid_vectors(
    pair: tuple[Encoder, Encoder],
    texts: TowerTexts,
    keys: Sequence[HybridKey],
    cache: Path,
    report: Callable[[int], None],
) -> dict[HybridKey, Float[np.ndarray, "text out"]]:
    """Return hybrid -> final vectors of the texts, in their order, encoded by each hybrid of two models.

    Args:
        pair: the two models.
        texts: tokenised texts. If both models receive weights, they have the same tokens.
        keys: (index of the receiving model, name of the transplant) of each hybrid (see `surgery.hybrids.hybrids`).
        cache: folder with vectors of earlier runs. Those of the same models, texts and hybrids are read from it.
        report: called with the number of texts encoded since the last call.
    """
    folder = cache / FOLDER / _key(pair, texts, keys)
    used(folder, _origin(pair, texts))
    order = np.argsort([len(row) for row in texts.rows], kind="stable")  # windows of texts of about one length
    random = RandomChanges(pair)
    vectors: np.ndarray | None = None
    for at in range(0, len(order), WINDOW):
        window = order[at : at + WINDOW]
        rows = [texts.rows[i] for i in window]
        make = partial(hybrids, pair, rows, keys, tokens=texts.tokens, random=random, precision=texts.precision)
        part = _window(folder / f"{at // WINDOW:05d}.npy", keys, make)
        if vectors is None:
            vectors = np.empty((len(keys), len(order), part.shape[-1]), np.float32)
        vectors[:, window] = part
        report(len(window))
    return dict(zip(keys, vectors if vectors is not None else (), strict=True))


def _origin(pair: tuple[Encoder, Encoder], texts: TowerTexts) -> CacheOrigin:
    models = tuple(encoder.name for encoder in pair)
    return CacheOrigin(models=models, collection=texts.collection, analysis=FOLDER, form=FORMAT)


def _window(
    file: Path, keys: Sequence[HybridKey], make: Callable[[], Mapping[HybridKey, Tensor]]
) -> Float[np.ndarray, "hybrid text out"]:
    content = read_if_sound(file)
    if content is not None:
        stored: np.ndarray = np.load(io.BytesIO(content), allow_pickle=False)
        return stored
    vectors = make()
    stacked = np.stack([vectors[key].numpy() for key in keys])
    with checked_file(file) as new:
        np.save(new, stacked, allow_pickle=False)
    return stacked


def _key(pair: tuple[Encoder, Encoder], texts: TowerTexts, keys: Sequence[HybridKey]) -> str:
    """Return a hash of everything that determines the vectors: encoders, texts and transplants."""
    made_of = [FORMAT, *(e.fingerprint for e in pair), [list(w) for w in keys], texts.tokens, WINDOW, texts.rows]
    made_of += [texts.precision] if texts.precision != EXACT else []
    return fingerprint(made_of)[:32]
