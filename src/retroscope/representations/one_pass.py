"""Compute the vectors of several recipes in one pass over the texts, if they differ only in pooling and head.

One extraction encodes the texts, and writes to the stores of all recipes. The later extraction of each other recipe
finds all vectors in its store, and only marks the store as finished. Every store has the same bytes as without a shared
pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from retroscope.encoders.encode import encode_rows_by
from retroscope.encoders.encoder import Encoder
from retroscope.engine.ledger import Ledger, Standing
from retroscope.engine.shards import Job
from retroscope.representations.plan import ExtractionPlan
from retroscope.representations.windows import Window, WindowVectors, WindowWorker, window_key, window_name


def shares_pass(one: ExtractionPlan, other: ExtractionPlan) -> bool:
    """Return whether one pass over the texts can compute the vectors that two different extraction plans describe.

    It can if their encoders compute the same token states, from the same texts in the same batches.
    """
    batches = ((each.inventory.fingerprint, each.window, each.tokens, each.normed) for each in (one, other))
    first, second = batches
    return one.key != other.key and first == second and _same_states(one.encoder, other.encoder)


def _same_states(one: Encoder, other: Encoder) -> bool:
    """Return whether two encoders compute the same token states for every text, and differ only in pooling and head."""
    apart = ("pooling", "head", "normalize_layers", "truncate_dim")
    recipes = ({k: v for k, v in each.recipe.identity().items() if k not in apart} for each in (one, other))
    first, second = recipes
    return one.backbone is other.backbone and one.reading == other.reading and first == second


@dataclass(frozen=True, eq=False)
class StoreBeside:
    """A further vector store, which is filled while the texts are encoded for another store.

    Attributes:
        plan: plan of this store.
        worker: worker that writes to this store.
        ledger: completion records of this store.
    """

    plan: ExtractionPlan
    worker: WindowWorker
    ledger: Ledger

    def is_done(self, window: Window) -> bool:
        """Return whether this store has the vectors of all texts of a window (range of texts)."""
        return self.ledger.standing(self._name(window), window_key(self.plan.key, window)) is Standing.DONE

    def write(self, window: Window, content: WindowVectors) -> None:
        """Write the vectors of a window (range of texts) and its completion record to this store."""
        files = self.worker.write(window, content)
        self.ledger.complete(self._name(window), window_key(self.plan.key, window), files)

    def _name(self, window: Window) -> str:
        return window_name(window.start // self.plan.window)


@dataclass(frozen=True, eq=False)
class OnePassWorker:
    """Worker that encodes each window of texts once and writes the vectors to several stores."""

    worker: WindowWorker
    beside: Sequence[StoreBeside]

    def compute(self, payload: Window) -> list[WindowVectors]:
        """Return the vectors of a window (range of texts) for the worker's own store and for each store in `beside`."""
        workers = [self.worker, *(store.worker for store in self.beside)]
        fresh, rows = self.worker.new_rows(payload)
        if not rows:
            return [worker.laid_out(payload, fresh, None) for worker in workers]
        form = self.worker.form
        vectors = encode_rows_by([w.encoder for w in workers], rows, form.tokens, norm_each_layer=form.normed)
        return [worker.laid_out(payload, fresh, part) for worker, part in zip(workers, vectors, strict=True)]

    def write(self, payload: Window, content: list[WindowVectors]) -> tuple[str, ...]:
        """Write a window (range of texts) to every store, and return the names of its files in the worker's own store.

        The worker's own store is written last. If it has a window, all other stores therefore have that window, too. A
        store that has the window already, because the run was stopped before the last store had it, is left as it is.
        """
        own, *others = content
        for store, part in zip(self.beside, others, strict=True):
            if not store.is_done(payload):
                store.write(payload, part)
        return self.worker.write(payload, own)


def can_follow(store: StoreBeside, job: Job) -> bool:
    """Return whether a store has every window of texts that the job has finished.

    Only then can later windows copy the vectors of repeated texts.
    """
    if not job.ledger.records():
        return True
    finished = (shard.payload for shard in job.shards if job.ledger.standing(shard.name, shard.key) is Standing.DONE)
    return all(store.is_done(window) for window in finished)
