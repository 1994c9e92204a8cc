"""Plan an extraction: read the texts once, and decide key, sizes, windows and batches before anything is encoded."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from retroscope.encoders.checks.selftest import SENTENCES
from retroscope.encoders.encode import encode_rows, tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.token_budgets import encoding_budget
from retroscope.encoders.work import operations
from retroscope.files.cache_records import versions
from retroscope.files.documents import fingerprint
from retroscope.representations.inventory import Inventory, take_inventory
from retroscope.representations.settings import ExtractionSettings

VERSION = 1  # raise it when a change here changes a vector
SOFTWARE = ("torch", "transformers", "tokenizers")  # whose versions are in the key
WINDOW_BYTES = 64 * 2**20  # vectors held in memory at a time
WINDOW_TEXTS = (32, 256)  # the least and the most texts of a window
ON_ACCELERATOR = 8  # times as many, where a batch takes more texts


@dataclass(frozen=True, eq=False)
class ExtractionPlan:
    """Plan of an extraction: its key, size and batches, which are known before it starts.

    Attributes:
        key: SHA-256 of weights, architecture, recipe, texts, number format and code version.
        n_bytes: size of the vectors on disk, before compression.
        shape: (layers, dim, out) of one text's vectors. Layers below the last count twice if they are also stored with
            the final norm.
        window: number of texts in one shard.
        tokens: number of padded tokens in one forward pass.
    """

    encoder: Encoder
    inventory: Inventory
    settings: ExtractionSettings
    key: str
    n_bytes: int
    shape: tuple[int, int, int]
    window: int
    tokens: int

    @property
    def normed(self) -> bool:
        """Return whether the layers below the last are stored with the final norm, too."""
        return _normed(self.encoder, self.settings)

    @property
    def operations(self) -> float:
        """Count the floating point operations of encoding every distinct text."""
        return operations(self.encoder, self.inventory.distinct_lengths)

    @property
    def operations_each(self) -> float:
        """Return the mean floating point operations for one text, repeated texts included."""
        lengths = self.inventory.lengths
        return operations(self.encoder, lengths) / len(lengths)


def plan_extraction(encoder: Encoder, texts: Iterable[str], settings: ExtractionSettings) -> ExtractionPlan:
    """Read the texts once, and plan their extraction."""
    return plan_inventory(encoder, take_inventory(encoder, texts), settings)


def plan_inventory(encoder: Encoder, inventory: Inventory, settings: ExtractionSettings) -> ExtractionPlan:
    """Plan the extraction of texts that are already tokenised as an inventory."""
    normed = _normed(encoder, settings)
    shape = depth, dim, out = _shape(encoder, normed)
    row = (depth * dim + out) * np.dtype(settings.dtype).itemsize
    n = len(inventory.first)
    tokens = settings.batch_tokens or encoding_budget(encoder.device)
    most = WINDOW_TEXTS[1] * (1 if encoder.device.type == "cpu" else ON_ACCELERATOR)
    window = min(int(np.clip(WINDOW_BYTES // row, WINDOW_TEXTS[0], most)), n)
    made_of: dict[str, object] = {
        "encoder": encoder.fingerprint,
        "texts": inventory.fingerprint,
        "dtype": settings.dtype,
        "batches": [tokens, window],  # float rounding depends on the batch
        "code": [VERSION, *(number for _, number in versions(SOFTWARE))],
        "device": encoder.device.type,
    }
    if normed:  # nothing else changes for models without a final norm: their stores stay what they are
        made_of["norm_each_layer"] = True
    key = fingerprint(made_of)
    return ExtractionPlan(encoder, inventory, settings, key, row * n, shape, window, tokens)


def _normed(encoder: Encoder, settings: ExtractionSettings) -> bool:
    return settings.norm_each_layer and encoder.anatomy.post_norm


def _shape(encoder: Encoder, normed: bool) -> tuple[int, int, int]:
    """Return (layers, dim, out) of one text's vectors, from one short forward pass."""
    probe = encode_rows(encoder, tokenise(encoder, SENTENCES[:1]), norm_each_layer=normed)
    return probe.layers.shape[1], probe.layers.shape[2], probe.final.shape[1]
