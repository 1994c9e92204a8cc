"""Find attention heads in an encoder, measure their mean outputs, and fix them.

A head's output is its slice of the input of the attention output matrix: the weighted mean of the values that it
attends to, before that matrix mixes the heads. Heads that share keys and values (grouped queries) have a slice each.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from retroscope.attribution.heads.choice import Head
from retroscope.encoders.architecture.anatomy import n_heads
from retroscope.encoders.batches import batches_by_length
from retroscope.encoders.capture import capture_calls, rewrite_inputs
from retroscope.encoders.encode import TokenIds, model_inputs, pad
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.token_budgets import DEFAULT_BUDGET
from retroscope.errors import AnalysisError, SettingsError

HeadValues = Float[np.ndarray, "layer head width"]


@dataclass(frozen=True)
class HeadSites:
    """Positions of one encoder's attention heads in the inputs of the attention output matrices.

    Attributes:
        paths: module path of the attention output matrix of every block, in order.
        heads: how many heads each block has.
        width: how many dimensions one head's output has.
    """

    paths: tuple[str, ...]
    heads: int
    width: int

    @property
    def every(self) -> list[Head]:
        """Return all heads, block by block."""
        return [Head(layer, head) for layer in range(1, len(self.paths) + 1) for head in range(self.heads)]

    def path(self, head: Head) -> str:
        """Return the module path of the attention output matrix that takes a head's output as input."""
        return self.paths[head.layer - 1]

    def part(self, head: int) -> slice:
        """Return, as a slice, where the output of a head (0..) lies in the input of the attention output matrix."""
        return slice(head * self.width, (head + 1) * self.width)

    def apart(self, states: Tensor) -> Float[Tensor, "*batch head width"]:
        """Split the input of an attention output matrix into one vector per head."""
        return states.reshape(*states.shape[:-1], self.heads, self.width)

    def modules(self, encoder: Encoder) -> dict[str, nn.Module]:
        """Return the attention output matrix of every block, by its module path."""
        return {path: encoder.backbone.get_submodule(path) for path in self.paths}


def find_heads(encoder: Encoder) -> HeadSites:
    """Return the positions of an encoder's attention heads."""
    modules = encoder.anatomy.attention_outputs(encoder.backbone)
    shape: Sequence[int] = next(iter(modules.values())).weight.shape  # type: ignore[assignment]
    inputs, heads = shape[0 if encoder.anatomy.layout.transposed else 1], n_heads(encoder.backbone)
    return HeadSites(tuple(modules), heads, inputs // heads)


def head_means(encoder: Encoder, rows: Sequence[TokenIds], tokens: int = DEFAULT_BUDGET) -> HeadValues:
    """Return the mean output of every head over all tokens of tokenised texts, without padding. Sums are in float64.

    Args:
        rows: token ids of each text.
        tokens: largest number of padded tokens in a batch.
    """
    if not rows:
        raise AnalysisError(
            "no text was given to compute the mean of every head", where=encoder.name, fix="give at least one text"
        )
    sites = find_heads(encoder)
    modules = sites.modules(encoder)
    sums: dict[str, Tensor] = {}
    for some in batches_by_length([len(row) for row in rows], tokens):
        batch = pad(encoder, [rows[i] for i in some])
        with torch.inference_mode(), capture_calls(modules) as calls:
            encoder.backbone(**model_inputs(encoder, batch))
        for path in modules:
            states = calls.only(path).input
            batch_sum = states.reshape(-1, states.shape[-1])[batch.mask.reshape(-1)].double().sum(0)
            sums[path] = sums[path] + batch_sum if path in sums else batch_sum
    total = sum(map(len, rows))
    return np.stack([sites.apart(sums[path]).cpu().numpy() / total for path in sites.paths])


@contextmanager
def fixed_heads(encoder: Encoder, heads: Collection[Head], values: HeadValues) -> Iterator[None]:
    """Fix the outputs of some heads at `values`, on every token, while the context is open.

    No weight is changed. If other encoders share this backbone, their heads are fixed, too.

    Args:
        values: the value at which each head of the encoder would be fixed, e.g. its mean output from `head_means`.

    Raises:
        SettingsError: if the encoder does not have one of the heads, or `values` has the wrong shape.
    """
    sites = find_heads(encoder)
    check_heads(encoder, sites, heads)
    shape = (len(sites.paths), sites.heads, sites.width)
    if values.shape != shape:
        raise SettingsError(
            f"the values at which heads are fixed have the shape {values.shape}; expected: {shape} (layer, head, "
            "dimension)",
            where=encoder.name,
            fix="compute the values of this encoder with `head_means`",
        )
    fixed: dict[str, dict[int, Tensor]] = {}
    for head in heads:
        value = torch.from_numpy(values[head.layer - 1, head.head].astype(np.float32)).to(encoder.device)
        fixed.setdefault(sites.path(head), {})[head.head] = value
    modules = {path: encoder.backbone.get_submodule(path) for path in fixed}
    with rewrite_inputs(modules, lambda path, states: _fixed(sites, states, fixed[path])):
        yield


def check_heads(encoder: Encoder, sites: HeadSites, heads: Collection[Head]) -> None:
    """Check that an encoder has all of these heads.

    Raises:
        SettingsError: if it lacks a head. The message names the first such head.
    """
    existing = {*sites.every}
    wrong = [head for head in heads if head not in existing]
    if wrong:
        raise SettingsError(
            f"there is no head {wrong[0].head} in layer {wrong[0].layer}",
            where=encoder.name,
            fix=f"give a layer from 1 to {len(sites.paths)} and a head from 0 to {sites.heads - 1}",
        )


def _fixed(sites: HeadSites, states: Tensor, fixed: Mapping[int, Tensor]) -> Tensor:
    changed = states.clone()  # others may read the tensor itself
    for head, value in fixed.items():
        changed[..., sites.part(head)] = value.to(states.dtype)
    return changed
