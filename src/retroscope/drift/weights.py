"""Compare two checkpoints tensor by tensor. This needs no data, no forward pass, and no whole model in memory."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from retroscope.drift.intruders import intruders
from retroscope.drift.result import (
    CHANGED,
    IDENTICAL,
    ONLY_AFTER,
    ONLY_BEFORE,
    RESHAPED,
    ROUNDED,
    WeightDrift,
)
from retroscope.drift.settings import DIRECTIONS
from retroscope.drift.spectrum import Directions, dense_directions, low_rank_directions, spectrum
from retroscope.encoders.architecture.anatomy import Anatomy
from retroscope.encoders.checkpoints.tensors import LowRank, Weights
from retroscope.encoders.encoder import Retriever
from retroscope.engine.streams import in_streams
from retroscope.errors import EncoderError
from retroscope.progress import Count

PIECE = 2**18  # numbers at a time: they stay in the processor's cache
MEASURED = ("name", "layer", "part", "rows", "columns", "parameters", "status", "norm", "change", "relative", "largest",
            "equal")  # fmt: skip
FAMILY = {"dpr": "bert"}  # what a backbone calls itself -> what it is


def diff_weights(
    before: Weights,
    after: Weights,
    *,
    spectra: bool = True,
    directions: int = DIRECTIONS,
    progress: Count | None = None,
) -> WeightDrift:
    """Compare the weights of two checkpoints of one architecture, tensor by tensor.

    Args:
        before: the backbone.
        after: the model fine-tuned from it. The change that an adapter makes is computed from its two factors.
        spectra: whether to measure ranks and singular directions of every changed matrix. They take most of the time.
        directions: how many singular directions are used for amplification and alignment.
        progress: called with (how many tensors are done, how many there are).

    Raises:
        EncoderError: if the models are of different families, or have different numbers of blocks.
    """
    _check(before, after)
    names = list(dict.fromkeys([*before.read, *after.read]))
    rows: list[dict[str, Any]] = []

    def measured(name: str) -> dict[str, Any]:
        return _row(name, before, after, directions if spectra else 0)

    def add(_name: str, row: dict[str, Any]) -> None:
        rows.append(row)
        if progress:
            progress(len(rows), len(names))

    in_streams(names, measured, add, most=len(names), threads_each=1)
    table = pd.DataFrame(rows).reindex(columns=list(dict.fromkeys([*MEASURED, *(k for row in rows for k in row)])))
    notes = [f"{side}: {note}" for side, w in (("before", before), ("after", after)) for note in w.notes]
    return WeightDrift(table, tuple(notes), before.where, after.where, before.anatomy.n_blocks)


def _check(before: Weights, after: Weights) -> None:
    reason = incomparable(before.anatomy, after.anatomy)
    if reason:
        raise EncoderError(
            f"the weights of {before.where} and {after.where} cannot be compared: {reason}",
            fix="compare a retriever with the backbone from which it was fine-tuned",
        )


def incomparable(one: Anatomy, two: Anatomy) -> str:
    """Return the reason why the tensors of two architectures cannot be compared, or "" if they can."""
    families = [FAMILY.get(anatomy.family, anatomy.family) for anatomy in (one, two)]
    if families[0] != families[1] or one.n_blocks != two.n_blocks:
        return f"one is a {families[0]} of {one.n_blocks} blocks, the other a {families[1]} of {two.n_blocks}"
    return ""


def incomparable_towers(before: Retriever, after: Retriever) -> str:
    """Return the reason why the weights and layers of two retrievers cannot be compared, or "" if they can."""
    reasons = (incomparable(before.tower(tower).anatomy, after.tower(tower).anatomy) for tower in ("query", "passage"))
    return next((reason for reason in reasons if reason), "")


def _row(name: str, before: Weights, after: Weights, directions: int) -> dict[str, Any]:
    present = before if name in before.read else after
    block, part = present.anatomy.part_of(name)
    last = present.anatomy.n_blocks
    layer = block + 1 if block is not None else 0 if part == "embedding" else last
    place = {"name": name, "layer": layer, "part": part}
    request = _Request(
        directions, name, part != "embedding" and not (present.anatomy.layout.transposed and block is not None)
    )
    if name not in before.read or name not in after.read:
        only = present.read[name]()
        return {**place, **_shape(only), "status": ONLY_BEFORE if present is before else ONLY_AFTER}
    if name in before.updates:  # an adapter upon an adapter, or an adapter beside its base
        return {**place, **_both_whole(before, after, request)}
    w, v, low = before.read[name](), _base_of(name, before, after), after.updates.get(name)
    if v is not None and w.shape != v.shape:
        return {**place, **_shape(w), "status": RESHAPED, "after_shape": str(tuple(v.shape))}
    same = v is None or (w.dtype == v.dtype and torch.equal(w, v))
    if same and low is not None:
        return {**place, **_shape(w), **_low_rank(w, low, request)}
    if v is None or (same and low is None):
        return {**place, **_shape(w), **_unchanged(w)}
    v = v if low is None else v.float() + low.left @ low.right
    return {**place, **_shape(w), **_dense(w, v, request)}


@dataclass(frozen=True)
class _Request:
    """Which statistics of a tensor's change are computed in addition to its norm.

    Attributes:
        directions: how many singular directions are used. With 0, no such statistic is computed.
        name: name of the tensor.
        by_row: whether the rows of the stored matrix are its outputs. If not, its columns are.
    """

    directions: int
    name: str
    by_row: bool

    def of(self, w: Tensor, change: Tensor, singular: Directions) -> dict[str, Any]:
        """Return ranks, amplification, alignment and intruder dimensions of the change of a matrix `w`."""
        turned = (w.float(), change) if self.by_row else (w.float().T, change.T)
        return asdict(spectrum(w.float(), singular)) | asdict(intruders(*turned, self.name))


def _both_whole(before: Weights, after: Weights, request: _Request) -> dict[str, Any]:
    """Compare a tensor of both checkpoints, after adding the changes of their adapters to it."""
    w, v = whole_tensor(before, request.name), whole_tensor(after, request.name)
    if w.shape != v.shape:
        return {**_shape(w), "status": RESHAPED, "after_shape": str(tuple(v.shape))}
    return {**_shape(w), **(_unchanged(w) if torch.equal(w, v) else _dense(w, v, request))}


def whole_tensor(weights: Weights, name: str) -> Tensor:
    """Return a tensor of a checkpoint with the change of its adapter, if any, added."""
    tensor, low = weights.read[name](), weights.updates.get(name)
    return tensor if low is None else tensor.float() + low.left @ low.right


def _base_of(name: str, before: Weights, after: Weights) -> Tensor | None:
    """Return the tensor of `after` without its adapter, or None if both read it from the same bytes of one file."""
    place = after.places.get(name)
    return None if place is not None and place == before.places.get(name) else after.read[name]()


def _shape(tensor: Tensor) -> dict[str, Any]:
    rows = tensor.shape[0] if tensor.ndim else 1
    return {"rows": rows, "columns": tensor.numel() // max(rows, 1), "parameters": tensor.numel()}


def _unchanged(w: Tensor) -> dict[str, Any]:
    return {"status": IDENTICAL, "norm": _norm(w), "change": 0.0, "relative": 0.0, "largest": 0.0, "equal": 1.0}


def _low_rank(w: Tensor, low: LowRank, request: _Request) -> dict[str, Any]:
    delta = low.left @ low.right
    if not bool(torch.isfinite(delta).all()):
        return _dense(w, w.float() + delta, replace(request, directions=0))
    directions = low_rank_directions(low, max(request.directions, 1))
    change, norm = float(directions.values.norm()), _norm(w)
    row = {
        "status": CHANGED if change else IDENTICAL,
        "norm": norm,
        "change": change,
        "relative": change / norm if norm else math.nan,
        "largest": float(delta.abs().max()),
        "equal": float((delta == 0).float().mean()),
    }
    return row | (request.of(w, delta.float(), directions) if request.directions and change else {})


def _dense(w: Tensor, v: Tensor, request: _Request) -> dict[str, Any]:
    square, moved, largest, equal = 0.0, 0.0, 0.0, 0
    held = torch.empty(2, min(PIECE, w.numel()))  # one room for all pieces: asking for it anew takes most of the time
    for piece_before, piece_after in zip(_pieces(w), _pieces(v), strict=True):
        a, d = held[0, : len(piece_before)].copy_(piece_before), held[1, : len(piece_before)].copy_(piece_after)
        d.sub_(a)
        low, high = torch.aminmax(d)
        square += float(torch.dot(a, a))
        moved += float(torch.dot(d, d))
        largest = max(largest, -float(low), float(high))
        equal += len(d) - int(torch.count_nonzero(d))
    norm, change = math.sqrt(square), math.sqrt(moved)
    row = {
        "status": _status(w, v, change),
        "norm": norm,
        "change": change,
        "relative": change / norm if norm else math.nan,
        "largest": largest,
        "equal": equal / w.numel(),
    }
    if request.directions and w.ndim == 2 and min(w.shape) > 1 and row["status"] == CHANGED and math.isfinite(change):
        moved_by = v.float() - w.float()
        row |= request.of(w, moved_by, dense_directions(moved_by, request.directions))
    return row


def _status(w: Tensor, v: Tensor, change: float) -> str:
    """Return the status of a tensor: "identical", "changed", or "rounded".

    "rounded" means that the two tensors have different number formats, and are equal after rounding to the coarser one.
    """
    if not change > 0:
        return CHANGED if math.isnan(change) else IDENTICAL
    if w.dtype != v.dtype:
        coarse = max((w.dtype, v.dtype), key=lambda dtype: torch.finfo(dtype).eps)
        if torch.equal(w.to(coarse), v.to(coarse)):
            return ROUNDED
    return CHANGED


def _norm(w: Tensor) -> float:
    pieces = (piece.float() for piece in _pieces(w))
    return math.sqrt(sum(float(torch.dot(p, p)) for p in pieces))


def _pieces(w: Tensor) -> Iterator[Tensor]:
    flat = w.reshape(-1)
    return (flat[start : start + PIECE] for start in range(0, len(flat), PIECE))
