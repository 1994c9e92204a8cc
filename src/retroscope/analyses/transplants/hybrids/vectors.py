"""The final vectors of many hybrids, written to disk after every few texts, so that an interrupted run can resume."""

import io
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from jaxtyping import Float

from retroscope.analyses.transplants.hybrids.windows import (
    HybridVectors,
    HybridWindow,
    HybridWork,
    HybridWorker,
    hybrid_job,
)
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.precision import EXACT
from retroscope.engine.choice import LOCAL, Engine
from retroscope.engine.ledger import RECORDS, Ledger
from retroscope.engine.storage import Storage
from retroscope.files.cache_records import CacheOrigin, used
from retroscope.files.checksums import read_if_sound
from retroscope.files.documents import fingerprint
from retroscope.inputs.texts import TowerTexts
from retroscope.progress import ProgressBy
from retroscope.surgery.ownership import HybridKey

WINDOW = 64  # texts between two writes
FOLDER = "transplants"  # of the cache
FORMAT = 2  # of the windows: another number is another key


def hybrid_vectors(
    pair: tuple[Encoder, Encoder],
    texts: TowerTexts,
    keys: Sequence[HybridKey],
    cache: Path,
    report: ProgressBy,
    *,
    engine: Engine = LOCAL,
) -> dict[HybridKey, Float[np.ndarray, "text out"]]:
    """Return hybrid -> final vectors of the texts, in their order, encoded by each hybrid of two models.

    Args:
        pair: the two models.
        texts: tokenised texts. If both models receive weights, they have the same tokens.
        keys: (index of the receiving model, name of the transplant) of each hybrid (see `surgery.hybrids.hybrids`).
        cache: folder with vectors of earlier runs. Those of the same models, texts and hybrids are read from it.
        report: called with the number of texts encoded since the last call.
        engine: where texts are encoded. It does not change the vectors.

    Raises:
        EngineError: if the vectors of some texts could not be computed in any attempt.
    """
    folder = (cache / FOLDER / _key(pair, texts, keys)).absolute()  # workers have a current folder of their own
    used(folder, _origin(pair, texts))
    order = np.argsort([len(row) for row in texts.rows], kind="stable")  # windows of texts of about one length
    parts = [order[at : at + WINDOW] for at in range(0, len(order), WINDOW)]
    windows = [HybridWindow(f"{n:05d}.npy", [texts.rows[i] for i in part]) for n, part in enumerate(parts)]
    worker = HybridWorker(pair, HybridWork(tuple(keys), texts.tokens, texts.precision, folder))
    made = _made_by(engine, worker, windows, report)
    vectors: np.ndarray | None = None
    for window, part in zip(windows, parts, strict=True):
        content = _content(worker, window)
        if vectors is None:
            vectors = np.empty((len(keys), len(order), content.shape[-1]), np.float32)
        vectors[:, part] = content
        if window.file not in made:
            report(len(part))
    return dict(zip(keys, vectors if vectors is not None else (), strict=True))


def _made_by(engine: Engine, worker: HybridWorker, windows: Sequence[HybridWindow], report: ProgressBy) -> set[str]:
    """Let a cluster compute the missing windows of texts, and return the names of their files.

    The engine of this process computes none here, because it computes and reads one window after another. It removes
    the completion records that a killed run on a cluster left, because only a cluster reads them.
    """
    folder = worker.work.folder
    if engine.name == LOCAL.name:
        with suppress(OSError):  # a read-only cache can be used, too
            if (folder / RECORDS).is_dir():
                Ledger(Storage(folder)).clear()
        return set()
    missing = [window for window in windows if read_if_sound(folder / window.file) is None]
    job = hybrid_job(worker, missing)
    if job.recruit is None:  # only this process can compute it
        return set()
    reported = 0

    def count(done: int, total: int) -> None:
        nonlocal reported
        report(done - reported)
        reported = done

    if missing:
        engine.run(job, count)
    job.ledger.clear()
    return {window.file for window in missing}


def _content(worker: HybridWorker, window: HybridWindow) -> HybridVectors:
    """Return the vectors of a window of texts. They are computed and stored if its file is missing or damaged."""
    stored = read_if_sound(worker.work.folder / window.file)
    if stored is not None:
        vectors: HybridVectors = np.load(io.BytesIO(stored), allow_pickle=False)
        return vectors
    vectors = worker.compute(window)
    worker.write(window, vectors)
    return vectors


def _origin(pair: tuple[Encoder, Encoder], texts: TowerTexts) -> CacheOrigin:
    models = tuple(encoder.name for encoder in pair)
    return CacheOrigin(models=models, collection=texts.collection, analysis=FOLDER, form=FORMAT)


def _key(pair: tuple[Encoder, Encoder], texts: TowerTexts, keys: Sequence[HybridKey]) -> str:
    """Return a hash of everything that determines the vectors: encoders, texts and transplants."""
    made_of = [FORMAT, *(e.fingerprint for e in pair), [list(w) for w in keys], texts.tokens, WINDOW, texts.rows]
    made_of += [texts.precision] if texts.precision != EXACT else []
    return fingerprint(made_of)[:32]
