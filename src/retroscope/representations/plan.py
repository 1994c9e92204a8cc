"""Plan an extraction (computing and storing vectors): tokenise the texts, and decide key, windows and batch size."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from retroscope.encoders.checks.selftest import SENTENCES
from retroscope.encoders.encode import encode_rows, tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.token_budgets import encoding_budget
from retroscope.encoders.work import operations
from retroscope.errors import SettingsError
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
    """Plan of encoding texts and storing their vectors: shapes, batches, bytes on disk, and the key of the store.

    Attributes:
        inventory: lengths and repetitions of the texts.
        key: SHA-256 of all that determines the vectors: weights, recipe, texts, number format, versions of software.
        n_bytes: how many bytes the vectors take on disk.
        shape: (how many layer vectors, their dimensions, dimensions of the final vector), as stored for one text. If
            layers below the last are also stored with the final norm, these layers count twice.
        kept: indices of the stored layer vectors among all that a forward pass returns (`encode.LayerVectors.layers`).
        window: how many texts one shard (file) of the store has.
        tokens: largest number of padded tokens in one forward pass.
    """

    encoder: Encoder
    inventory: Inventory
    settings: ExtractionSettings
    key: str
    n_bytes: int
    shape: tuple[int, int, int]
    kept: tuple[int, ...]
    window: int
    tokens: int

    @property
    def normed(self) -> bool:
        """Return whether layers below the last are stored twice: without and with the model's final norm."""
        return _normed(self.encoder, self.settings)

    @property
    def operations(self) -> float:
        """Return how many floating point operations it takes to encode every distinct text."""
        return operations(self.encoder, self.inventory.distinct_lengths)

    @property
    def operations_each(self) -> float:
        """Return how many floating point operations it takes to encode one text, as a mean over all texts."""
        lengths = self.inventory.lengths
        return operations(self.encoder, lengths) / len(lengths)


def plan_extraction(encoder: Encoder, texts: Iterable[str], settings: ExtractionSettings) -> ExtractionPlan:
    """Read and tokenise the texts once, and return the plan of encoding them. Nothing is encoded yet."""
    return plan_inventory(encoder, take_inventory(encoder, texts), settings)


def plan_inventory(encoder: Encoder, inventory: Inventory, settings: ExtractionSettings) -> ExtractionPlan:
    """Return the plan of encoding texts whose inventory (lengths, repetitions, fingerprint) is known already."""
    normed = _normed(encoder, settings)
    available, dim, out = _shape(encoder, normed)
    stored = _kept(encoder, settings, available)
    shape = depth, dim, out = len(stored), dim, out
    row = (depth * dim + out) * np.dtype(settings.dtype).itemsize
    n = len(inventory.first)
    tokens = settings.batch_tokens or encoding_budget(encoder.device)
    most = WINDOW_TEXTS[1] * (1 if encoder.device.type == "cpu" else ON_ACCELERATOR)
    window = min(int(np.clip(WINDOW_BYTES // row, WINDOW_TEXTS[0], most)), n)
    determinants: dict[str, object] = {
        "encoder": encoder.fingerprint,
        "texts": inventory.fingerprint,
        "dtype": settings.dtype,
        "batches": [tokens, window],  # float rounding depends on the batch
        "code": [VERSION, *(number for _, number in versions(SOFTWARE))],
        "device": encoder.device.type,
    }
    if normed:  # nothing else changes for models without a final norm: their stores stay what they are
        determinants["norm_each_layer"] = True
    if settings.layers is not None:
        determinants["layers"] = list(settings.layers)
    key = fingerprint(determinants)
    return ExtractionPlan(encoder, inventory, settings, key, row * n, shape, stored, window, tokens)


def _kept(encoder: Encoder, settings: ExtractionSettings, given: int) -> tuple[int, ...]:
    """Return the indices of the layer vectors to store among all that a forward pass returns.

    Args:
        given: how many vectors a forward pass returns: those of layers 0..L, then, if the model has a final norm, those
            of layers 0..L-1 with this norm.

    Raises:
        SettingsError: if the settings name a layer that the model does not have.
    """
    if settings.layers is None:
        return tuple(range(given))
    last = encoder.anatomy.n_blocks
    if settings.layers and settings.layers[-1] > last:
        raise SettingsError(
            f"layer {settings.layers[-1]} is to be stored, but the last layer of {encoder.name} is {last}",
            where="extraction.layers",
            fix=f"give layers from 0 to {last}",
        )
    normed = (last + 1 + layer for layer in settings.layers if layer < last)
    return (*settings.layers, *(normed if given > last + 1 else ()))


def _normed(encoder: Encoder, settings: ExtractionSettings) -> bool:
    return settings.norm_each_layer and encoder.anatomy.post_norm


def _shape(encoder: Encoder, normed: bool) -> tuple[int, int, int]:
    """Return (how many layer vectors, their dimensions, dimensions of the final vector), from one forward pass."""
    probe = encode_rows(encoder, tokenise(encoder, SENTENCES[:1]), norm_each_layer=normed)
    return probe.layers.shape[1], probe.layers.shape[2], probe.final.shape[1]
