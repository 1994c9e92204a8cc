"""Ablate neurons: run an encoder with chosen neurons fixed at one value.

This follows Vast et al. (ICTIR 2024, arXiv 2406.19309), who check an attribution by pruning its top neurons. A neuron
that is fixed at its mean carries no information about the text, but its value is usual for the rest of the network. A
neuron can also be fixed at zero. If its value is never near zero, this changes the network more.

The fixed unit depends on the part:
- `intermediate` and `up`: the hidden unit, i.e. one coordinate of what `ffn_out` reads, after the activation and the
  gate. Both matrices of a gated FFN make the same hidden unit, so neuron i of either is that unit.
- `output`: one coordinate of what `ffn_out` returns, before anything is added to it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from retroscope.attribution.sites import Site, find_sites
from retroscope.attribution.top_neurons.selection import NeuronSet
from retroscope.encoders.capture import Edit, capture_calls, rewrite_inputs, rewrite_outputs
from retroscope.encoders.encode import TokenIds, batches_by_length, model_inputs, pad, tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.token_budgets import DEFAULT_BUDGET
from retroscope.errors import AnalysisError, SettingsError, unknown_name

HIDDEN, OUTPUT = "intermediate", "output"
FIXED = {"intermediate": HIDDEN, "up": HIDDEN, "output": OUTPUT}  # part -> what is fixed


@dataclass(frozen=True, eq=False)
class NeuronMoments:
    """Mean and standard deviation of every neuron over the real tokens of some texts. Row k - 1 is layer k.

    Attributes:
        hidden_mean, hidden_sd: moments of the units that `ffn_out` reads.
        output_mean, output_sd: moments of the coordinates that `ffn_out` returns.
        tokens: number of tokens that were read.
    """

    hidden_mean: Float[np.ndarray, "layer hidden"]
    output_mean: Float[np.ndarray, "layer dim"]
    hidden_sd: Float[np.ndarray, "layer hidden"]
    output_sd: Float[np.ndarray, "layer dim"]
    tokens: int


def neuron_moments(encoder: Encoder, texts: Sequence[str], tokens: int = DEFAULT_BUDGET) -> NeuronMoments:
    """Measure every neuron over all real tokens of `texts`, one batch in memory at a time, with sums in float64."""
    return moments_of_rows(encoder, tokenise(encoder, texts), tokens)


def moments_of_rows(encoder: Encoder, rows: Sequence[TokenIds], tokens: int = DEFAULT_BUDGET) -> NeuronMoments:
    """Measure the mean and standard deviation of every neuron over tokenised texts, batch by batch."""
    if not rows:
        raise AnalysisError(
            "no text was given to compute the mean of every neuron", where=encoder.name, fix="give at least one text"
        )
    modules = {site.path: encoder.backbone.get_submodule(site.path) for site in find_sites(encoder, (OUTPUT,))}
    sums: dict[str, list[Tensor]] = {}
    for some in batches_by_length([len(row) for row in rows], tokens):
        batch = pad(encoder, [rows[i] for i in some])
        with torch.inference_mode(), capture_calls(modules) as calls:
            encoder.backbone(**model_inputs(encoder, batch))
        for path in modules:
            call = calls.only(path)
            found = [part for values in (call.input, call.value) for part in _over_tokens(values, batch.mask)]
            sums[path] = [a + b for a, b in zip(sums[path], found, strict=True)] if path in sums else found
    total = sum(map(len, rows))
    kinds = [np.stack([sums[path][i].cpu().numpy() for path in modules]) / total for i in range(4)]
    hidden, hidden_square, output, output_square = kinds
    return NeuronMoments(hidden, output, _deviation(hidden, hidden_square), _deviation(output, output_square), total)


def _over_tokens(values: Tensor, mask: Tensor) -> tuple[Float[Tensor, "neuron"], Float[Tensor, "neuron"]]:
    """Sum the values and their squares over the real (not padding) tokens."""
    real = values.reshape(-1, values.shape[-1])[mask.reshape(-1)].double()
    return real.sum(0), (real**2).sum(0)


def _deviation(mean: np.ndarray, square: np.ndarray) -> np.ndarray:
    """Return the standard deviation sqrt(E x^2 - (E x)^2), with 0 where rounding makes the difference negative."""
    return np.asarray(np.sqrt(np.maximum(square - mean**2, 0.0)))


@contextmanager
def ablated(encoder: Encoder, neurons: NeuronSet, moments: NeuronMoments | None) -> Iterator[None]:
    """Fix neurons at their mean, or at zero where `moments` is None, on every token while the context is open.

    No weight is changed. Encoders that share this backbone are ablated with it.

    Raises:
        SettingsError: if the encoder has no such part, layer or neuron.
    """
    sites = {site.layer: site for site in find_sites(encoder, (OUTPUT,))}
    fixed = _checked(encoder, moments) if moments is not None else {}
    edits: dict[str, dict[str, tuple[Tensor, Tensor]]] = {HIDDEN: {}, OUTPUT: {}}
    for kind, layer, index in _by_module(neurons):
        site = _site(encoder, sites, layer)
        _check_neurons(encoder, site, kind, index)
        values = fixed[kind][layer - 1][index] if fixed else np.zeros(len(index))
        edits[kind][site.path] = _on_device(encoder, index, values)
    modules = {kind: {path: encoder.backbone.get_submodule(path) for path in edits[kind]} for kind in edits}
    with (
        rewrite_inputs(modules[HIDDEN], _fixing(edits[HIDDEN])),
        rewrite_outputs(modules[OUTPUT], _fixing(edits[OUTPUT])),
    ):
        yield


def _by_module(neurons: NeuronSet) -> Iterator[tuple[str, int, Int[np.ndarray, "fixed"]]]:
    """Yield the kind of module, the layer and the neurons to fix. `intermediate` and `up` count as one kind."""
    for part in neurons.neurons:
        if part not in FIXED:
            raise unknown_name("part", part, FIXED)
    for kind in (HIDDEN, OUTPUT):
        parts = [layers for part, layers in neurons.neurons.items() if FIXED[part] == kind]
        for layer in sorted({layer for layers in parts for layer in layers}):
            some = {i for layers in parts for i in layers.get(layer, ())}
            if some:
                yield kind, layer, np.array(sorted(some))


def _site(encoder: Encoder, sites: Mapping[int, Site], layer: int) -> Site:
    if layer not in sites:
        raise SettingsError(
            f"there are no neurons in layer {layer}",
            where=encoder.name,
            fix=f"give a layer from 1 to {len(sites)}",
        )
    return sites[layer]


def _check_neurons(encoder: Encoder, site: Site, kind: str, index: Int[np.ndarray, "fixed"]) -> None:
    outputs, inputs = site.weight(encoder).shape
    size = inputs if kind == HIDDEN else outputs
    wrong = index[(index < 0) | (index >= size)]
    if len(wrong):
        raise SettingsError(
            f"{kind!r} of layer {site.layer} has neurons 0 to {size - 1}, but neuron {wrong[0]} was given",
            where=encoder.name,
            fix="choose the neurons from an attribution of this encoder",
        )


def _checked(encoder: Encoder, moments: NeuronMoments) -> dict[str, Float[np.ndarray, "layer neuron"]]:
    sites = find_sites(encoder, (OUTPUT,))
    output, hidden = sites[0].weight(encoder).shape
    found = (moments.hidden_mean.shape, moments.output_mean.shape)
    if found != ((len(sites), hidden), (len(sites), output)):
        raise SettingsError(
            f"the means have the shapes {found} (hidden, output), but the encoder has {len(sites)} layers of {hidden} "
            f"hidden and {output} output neurons",
            where=encoder.name,
            fix="compute the means of this encoder with `neuron_moments`",
        )
    return {HIDDEN: moments.hidden_mean, OUTPUT: moments.output_mean}


def _on_device(encoder: Encoder, index: Int[np.ndarray, "fixed"], values: np.ndarray) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(index).to(encoder.device), torch.from_numpy(values.astype(np.float32)).to(encoder.device)


def _fixing(fixed: Mapping[str, tuple[Tensor, Tensor]]) -> Edit:
    def fix(path: str, given: Tensor) -> Tensor:
        index, values = fixed[path]
        changed = given.clone()  # others may read the tensor itself
        changed[..., index] = values.to(given.dtype)
        return changed

    return fix
