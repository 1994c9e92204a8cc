"""Compute the vectors of several recipes in one pass, if the recipes differ only in pooling.

One extraction does the work and fills the stores of the others beside its own. Each of these other stores is finished
by its own extraction, which finds its windows computed. Every store has the bytes that it would have if it were made
alone.
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
    """Return whether one pass over the texts can compute the vectors of both plans: same states, same batches."""
    batches = ((each.inventory.fingerprint, each.window, each.tokens, each.normed) for each in (one, other))
    first, second = batches
    return one.key != other.key and first == second and _same_states(one.encoder, other.encoder)


def _same_states(one: Encoder, other: Encoder) -> bool:
    """Return whether two encoders compute the same token states for every text."""
    apart = ("pooling", "head", "normalize_layers", "truncate_dim")
    recipes = ({k: v for k, v in each.recipe.identity().items() if k not in apart} for each in (one, other))
    first, second = recipes
    return one.backbone is other.backbone and one.reading == other.reading and first == second


@dataclass(frozen=True, eq=False)
class StoreBeside:
    """The store of another plan that is filled in the same pass.

    Attributes:
        plan: plan of this store.
        worker: worker that writes into this store.
        ledger: ledger of this store, in which its own extraction looks up finished shards.
    """

    plan: ExtractionPlan
    worker: WindowWorker
    ledger: Ledger

    def is_done(self, window: Window) -> bool:
        """Return whether a window is already stored in this store."""
        return self.ledger.standing(self._name(window), window_key(self.plan.key, window)) is Standing.DONE

    def write(self, window: Window, content: WindowVectors) -> None:
        """Write a window and its completion record."""
        files = self.worker.write(window, content)
        self.ledger.complete(self._name(window), window_key(self.plan.key, window), files)

    def _name(self, window: Window) -> str:
        return window_name(window.start // self.plan.window)


@dataclass(frozen=True, eq=False)
class OnePassWorker:
    """Worker that encodes windows once and writes them to several stores."""

    worker: WindowWorker
    beside: Sequence[StoreBeside]

    def compute(self, payload: Window) -> list[WindowVectors]:
        """Return the vectors of one window for every store."""
        workers = [self.worker, *(store.worker for store in self.beside)]
        fresh, rows = self.worker.new_rows(payload)
        if not rows:
            return [worker.laid_out(payload, fresh, None) for worker in workers]
        form = self.worker.form
        vectors = encode_rows_by([w.encoder for w in workers], rows, form.tokens, norm_each_layer=form.normed)
        return [worker.laid_out(payload, fresh, one) for worker, one in zip(workers, vectors, strict=True)]

    def write(self, payload: Window, content: list[WindowVectors]) -> tuple[str, ...]:
        """Write a window to every store, to the worker's own last, and return the names of the files in its own.

        So a window that is complete in its own store is complete in the others.
        """
        own, *others = content
        for store, one in zip(self.beside, others, strict=True):
            store.write(payload, one)
        return self.worker.write(payload, own)


def can_follow(store: StoreBeside, job: Job) -> bool:
    """Return whether a store has all finished windows of the job, from which later windows may copy."""
    if not job.ledger.records():
        return True
    done = (shard.payload for shard in job.shards if job.ledger.standing(shard.name, shard.key) is Standing.DONE)
    return all(store.is_done(window) for window in done)
