"""Plan of an attribution: its examples, divided into batches, and the memory that they need."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from jaxtyping import Int

from retroscope.attribution.examples import Example, objective
from retroscope.attribution.integrals.paths import Work
from retroscope.attribution.integrals.quadrature import quadrature
from retroscope.attribution.published import with_padding_read
from retroscope.attribution.result import AttributionCounts
from retroscope.attribution.settings import AttributionSettings
from retroscope.attribution.sites import Site
from retroscope.collection.records import folded
from retroscope.encoders.encode import Batch, TokenIds, pad
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.token_budgets import ATTRIBUTION
from retroscope.files.cache_records import CacheOrigin, versions
from retroscope.statistics.resampling.clusters import numbered

SOFTWARE = ("retroscope", "torch", "transformers")
FORMAT = 5  # of states; raised when the same plan would give other numbers or other arrays
PADDING = 0.1  # share of a batch that may be padding


@dataclass(frozen=True, eq=False)
class AttributionPlan:
    """Plan of an attribution: its examples, divided into batches, and the memory that they need.

    Attributes:
        sites: the FFN matrices whose neurons are attributed.
        batches: indices of the examples of each batch. A batch does not cross the end of a stage.
        tokens: the token ids of each example's texts.
        row_tokens: how many padded tokens run through the network at once, at nodes of the integration path.
        bytes_per_token: memory per padded token while the network runs at path nodes, in bytes, measured on the longest
            text.
        record_bytes: bytes of the largest batch's recorded forward pass, estimated from the longest text.
        padding_pooled: whether the pooling includes padding tokens, as in the published study.
        cosine: whether the retriever compares vectors by cosine.
        collection: name of the collection.
        stages: after how many examples the attribution may stop (see `stability`), in rising order. The last number
            counts all examples.
    """

    encoder: Encoder
    examples: Sequence[Example]
    settings: AttributionSettings
    sites: tuple[Site, ...]
    batches: tuple[tuple[int, ...], ...]
    tokens: tuple[tuple[TokenIds, ...], ...]
    row_tokens: int = 0
    bytes_per_token: float = 0.0
    record_bytes: int = 0
    padding_pooled: bool = False
    cosine: bool = False
    stages: tuple[int, ...] = ()
    collection: str = ""

    @property
    def half(self) -> Int[np.ndarray, "example"]:
        """Return to which of two random halves (0 or 1) each example belongs.

        Examples with the same text are in the same half.
        """
        text = numbered(np.array([folded(example.texts[0]) for example in self.examples], dtype=object))
        n = int(text.max(initial=-1)) + 1
        order = np.arange(n) if len(self.stages) > 1 else np.random.default_rng(self.settings.seed).permutation(n)
        return np.asarray((order % 2)[text])

    def until(self, examples: int) -> "AttributionPlan":
        """Return the plan of the first `examples` examples. This number must be one of `stages`."""
        batches = tuple(batch for batch in self.batches if max(batch) < examples)
        return replace(self, examples=self.examples[:examples], tokens=self.tokens[:examples], batches=batches)

    @property
    def bytes(self) -> int:
        """Return the estimated memory, without weights: bytes of a pass at path nodes and of the recorded pass."""
        return int(self.row_tokens * self.bytes_per_token) + self.record_bytes

    @property
    def origin(self) -> CacheOrigin:
        """Return a cache record that names the encoder, collection and software versions of the saved sums."""
        return CacheOrigin(
            models=(self.encoder.name,),
            collection=self.collection,
            analysis="neurons",
            software=versions(SOFTWARE),
            form=FORMAT,
        )

    @property
    def key(self) -> str:
        """Return the SHA-256 of what determines the summed attributions: encoder, examples, settings, batches ...

        The settings `limit` and `agreement` are not part of it. A plan cut to its first stages therefore has the same
        key as a plan for fewer examples, and both share the saved sums.
        """
        digest = hashlib.sha256(self.encoder.fingerprint.encode())
        determinants = {
            **asdict(replace(self.settings, memory=None, limit=0, agreement=None)),
            "padding_pooled": self.padding_pooled,
        }
        determinants["format"] = FORMAT
        determinants["versions"] = dict(versions(SOFTWARE))
        batches = [list(batch) for batch in self.batches]
        digest.update(
            json.dumps([determinants, batches, self.half.tolist(), self.cosine, str(self.encoder.device)]).encode()
        )
        for example in self.examples:
            digest.update(json.dumps([example.id, example.texts, example.signs]).encode())
            for vector in example.others:
                digest.update(vector.cpu().numpy().tobytes())
        return digest.hexdigest()


def work_of(plan: AttributionPlan, batch: Sequence[int], row_tokens: int) -> Work:
    """Return the input of an attribution method for one batch.

    Args:
        batch: indices of the examples.
        row_tokens: how many padded tokens may run through the network at once, at nodes of the path.
    """
    examples = [plan.examples[i] for i in batch]
    padded = _padded(plan, batch)
    return Work(
        plan.encoder,
        padded,
        objective(examples, cosine=plan.cosine, device=plan.encoder.device),
        plan.sites,
        quadrature(plan.settings.rule),
        rows=max(1, row_tokens // padded.ids.shape[1]),
        precision=plan.settings.precision,
    )


def _padded(plan: AttributionPlan, batch: Sequence[int]) -> Batch:
    padded = pad(plan.encoder, [row for i in batch for row in plan.tokens[i]])
    return with_padding_read(plan.encoder, padded) if plan.padding_pooled else padded


def make_batches(
    encoder: Encoder, tokens: Sequence[Sequence[TokenIds]], settings: AttributionSettings, first: int = 0
) -> list[tuple[int, ...]]:
    """Divide examples into batches of indices: in their order if a batch size is set, else by length, longest first.

    The batches do not depend on the free memory, so an interrupted run continues with the same batches.

    Args:
        tokens: the token ids of each example's texts.
        first: index of the first of these examples in the plan.
    """
    numbers = range(first, first + len(tokens))
    if settings.batch_size:
        return [tuple(numbers[i : i + settings.batch_size]) for i in range(0, len(tokens), settings.batch_size)]
    limit = ATTRIBUTION[encoder.device.type]
    lengths = {i: [len(row) for row in rows] for i, rows in zip(numbers, tokens, strict=True)}
    batches: list[list[int]] = []
    for i in sorted(numbers, key=lambda i: (-max(lengths[i]), i)):
        together = [*batches[-1], i] if batches else [i]
        texts = [length for j in together for length in lengths[j]]
        padded = max(texts) * len(texts)
        if batches and padded <= limit and padded - sum(texts) <= PADDING * padded:
            batches[-1].append(i)
        else:
            batches.append([i])
    return [tuple(batch) for batch in batches]


def facts(plan: AttributionPlan) -> AttributionCounts:
    """Return how many examples, texts, tokens, batches and bytes of memory a plan has, as JSON-like values."""
    return {
        "examples": len(plan.examples),
        "texts": sum(len(example.texts) for example in plan.examples),
        "tokens": sum(len(row) for rows in plan.tokens for row in rows),
        "batches": len(plan.batches),
        "rows_at_once_tokens": plan.row_tokens,
        "bytes": plan.bytes,
    }
