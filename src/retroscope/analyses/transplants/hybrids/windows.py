"""Encode windows of texts by many hybrids. Every worker computes the same bytes for a window."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from retroscope.encoders.encode import TokenIds
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.settings import EncoderSource
from retroscope.engine.ledger import Ledger
from retroscope.engine.shards import Job, Shard
from retroscope.engine.storage import Storage
from retroscope.files.documents import fingerprint
from retroscope.files.whole import checked_file
from retroscope.representations.windows import encoder_again, equipment
from retroscope.surgery.hybrids import hybrids
from retroscope.surgery.ownership import HybridKey
from retroscope.surgery.random_changes import RandomChanges

HybridVectors = Float[np.ndarray, "hybrid text out"]


@dataclass(frozen=True, eq=False)
class HybridWindow:
    """A window: some texts that are encoded by all hybrids and stored in one file.

    Attributes:
        file: name of the file.
        rows: token ids of each text.
    """

    file: str
    rows: Sequence[TokenIds]


@dataclass(frozen=True)
class HybridWork:
    """What all windows of texts have in common: the hybrids, how they are run, and the folder of the files.

    Attributes:
        keys: (index of the receiving model, name of the transplant) of each hybrid.
        tokens: largest number of padded tokens in a forward pass.
        precision: numerical precision of the forward passes, a name in `encoders.precision`.
        folder: folder of the files. On a cluster, every node must be able to write to it.
    """

    keys: tuple[HybridKey, ...]
    tokens: int
    precision: str
    folder: Path


@dataclass(frozen=True, eq=False)
class HybridWorker:
    """Worker that encodes windows of texts by all hybrids of two models."""

    pair: tuple[Encoder, Encoder]
    work: HybridWork

    @cached_property
    def _random(self) -> RandomChanges:
        return RandomChanges(self.pair)

    def compute(self, payload: HybridWindow) -> HybridVectors:
        """Return the final vectors of the texts of a window by each hybrid."""
        vectors = hybrids(
            self.pair,
            payload.rows,
            self.work.keys,
            tokens=self.work.tokens,
            random=self._random,
            precision=self.work.precision,
        )
        return np.stack([vectors[key].numpy() for key in self.work.keys])

    def write(self, payload: HybridWindow, content: HybridVectors) -> tuple[str, ...]:
        """Write the vectors of a window to its file, with a checksum, and return the file's name."""
        with checked_file(self.work.folder / payload.file) as new:
            np.save(new, content, allow_pickle=False)
        return (payload.file,)


@dataclass(frozen=True)
class HybridRecruit:
    """Factory that makes, in another process, a worker that encodes windows of texts by hybrids.

    Attributes:
        sources: names or folders from which the two encoders are loaded, and the settings of loading.
        fingerprints: fingerprints that the loaded encoders must have.
        work: hybrids, how they are run, and the folder of the files.
        threads: how many threads a forward pass on a CPU uses.
    """

    sources: tuple[EncoderSource, EncoderSource]
    fingerprints: tuple[str, str]
    work: HybridWork
    threads: int

    def hire(self) -> HybridWorker:
        """Load both encoders and return the worker.

        Raises:
            RepresentationError: if a loaded encoder has another fingerprint.
        """
        torch.set_num_threads(self.threads)
        one, two = (encoder_again(s, f) for s, f in zip(self.sources, self.fingerprints, strict=True))
        return HybridWorker((one, two), self.work)

    def equipment(self) -> Mapping[str, str]:
        """Return the kind of device and the library versions of this machine."""
        return equipment(self.sources[0].settings.device)


def hybrid_job(worker: HybridWorker, windows: Sequence[HybridWindow]) -> Job:
    """Return the job by which an engine encodes windows of texts by hybrids, and writes one file for each window."""
    one, two = worker.pair
    threads, recruit = torch.get_num_threads(), None
    if one.source is not None and two.source is not None:
        recruit = HybridRecruit((one.source, two.source), (one.fingerprint, two.fingerprint), worker.work, threads)
    return Job(
        ledger=Ledger(Storage(worker.work.folder), equipment(str(one.device))),
        shards=[_shard(worker.work, window) for window in windows],
        total=sum(len(window.rows) for window in windows),
        count=len(windows),
        worker=worker,
        recruit=recruit,
        accelerators=1 if one.device.type == "cuda" else 0,
        threads=threads,
    )


def _shard(work: HybridWork, window: HybridWindow) -> Shard:
    """Return a window as a shard. The folder's name is a hash of the models, the hybrids and all texts."""
    return Shard(window.file, fingerprint([work.folder.name, window.file]), len(window.rows), window)
