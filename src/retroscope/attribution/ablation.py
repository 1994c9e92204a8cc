"""Ablate neurons: run an encoder with chosen neurons fixed at one value.

This follows Vast et al. (ICTIR 2024, arXiv 2406.19309), who check an attribution by pruning its top neurons. A neuron
that is fixed at its mean carries no information about the text, but its value is usual for the rest of the network. A
neuron can also be fixed at zero. If the neuron's values are never near 0, fixing it at zero changes the network more
than fixing it at the mean.

What is fixed depends on the FFN matrix that the neuron belongs to:
- `intermediate` and `up`: the hidden unit, i.e. one input coordinate of the FFN's output matrix (`ffn_out`), after the
  activation and the gate. In a gated FFN, neuron i of `intermediate` and neuron i of `up` are the same hidden unit i.
- `output`: one output coordinate of `ffn_out`, before the residual is added.
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
from retroscope.encoders.batches import batches_by_length
from retroscope.encoders.capture import Edit, capture_calls, rewrite_inputs, rewrite_outputs
from retroscope.encoders.encode import TokenIds, model_inputs, pad, tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.token_budgets import DEFAULT_BUDGET
from retroscope.errors import AnalysisError, SettingsError, unknown_name

HIDDEN, OUTPUT = "intermediate", "output"
FIXED = {"intermediate": HIDDEN, "up": HIDDEN, "output": OUTPUT}  # part -> what is fixed


@dataclass(frozen=True, eq=False)
class NeuronMoments:
    """Mean and standard deviation of every neuron over the tokens of some texts. Row k - 1 is layer k.

    Padding tokens are not counted.

    Attributes:
        hidden_mean, hidden_sd: mean and standard deviation of the hidden units, which are the inputs of `ffn_out`.
        output_mean, output_sd: mean and standard deviation of the outputs of `ffn_out`.
        tokens: how many tokens the means are taken over.
    """

    hidden_mean: Float[np.ndarray, "layer hidden"]
    output_mean: Float[np.ndarray, "layer dim"]
    hidden_sd: Float[np.ndarray, "layer hidden"]
    output_sd: Float[np.ndarray, "layer dim"]
    tokens: int


def neuron_moments(encoder: Encoder, texts: Sequence[str], tokens: int = DEFAULT_BUDGET) -> NeuronMoments:
    """Return the mean and standard deviation of every neuron over all tokens of `texts`, without padding.

    The texts are encoded batch by batch. Sums are in float64.

    Args:
        tokens: largest number of padded tokens in a batch.
    """
    return moments_of_rows(encoder, tokenise(encoder, texts), tokens)


def moments_of_rows(encoder: Encoder, rows: Sequence[TokenIds], tokens: int = DEFAULT_BUDGET) -> NeuronMoments:
    """Return the mean and standard deviation of every neuron over the tokens of tokenised texts, without padding.

    Args:
        rows: token ids of each text.
        tokens: largest number of padded tokens in a batch.
    """
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
            batch_sums = [part for values in (call.input, call.value) for part in _over_tokens(values, batch.mask)]
            sums[path] = [a + b for a, b in zip(sums[path], batch_sums, strict=True)] if path in sums else batch_sums
    total = sum(map(len, rows))
    kinds = [np.stack([sums[path][i].cpu().numpy() for path in modules]) / total for i in range(4)]
    hidden, hidden_square, output, output_square = kinds
    return NeuronMoments(hidden, output, _deviation(hidden, hidden_square), _deviation(output, output_square), total)


def _over_tokens(values: Tensor, mask: Tensor) -> tuple[Float[Tensor, "neuron"], Float[Tensor, "neuron"]]:
    """Return the sum of each neuron's values, and of their squares, over all tokens except padding."""
    real = values.reshape(-1, values.shape[-1])[mask.reshape(-1)].double()
    return real.sum(0), (real**2).sum(0)


def _deviation(mean: np.ndarray, square: np.ndarray) -> np.ndarray:
    """Return the standard deviation sqrt(E x^2 - (E x)^2), with 0 where rounding makes the difference negative."""
    return np.asarray(np.sqrt(np.maximum(square - mean**2, 0.0)))


@contextmanager
def ablated(encoder: Encoder, neurons: NeuronSet, moments: NeuronMoments | None) -> Iterator[None]:
    """Fix neurons at their mean activation, on every token, while the context is open.

    If `moments` is None, they are fixed at zero. No weight is changed. If other encoders share this backbone, their
    neurons are fixed, too.

    Raises:
        SettingsError: if `neurons` names an FFN matrix, layer or neuron that the encoder does not have.
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
    """Yield ("intermediate" or "output", layer, indices of the neurons) for every layer with neurons to fix.

    "intermediate" fixes hidden units, which the neurons of `intermediate` and `up` share. "output" fixes the outputs of
    `ffn_out`.
    """
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
            f"{kind!r} of layer {site.layer} has neurons 0 to {size - 1}, so there is no neuron {wrong[0]}",
            where=encoder.name,
            fix="choose the neurons from an attribution of this encoder",
        )


def _checked(encoder: Encoder, moments: NeuronMoments) -> dict[str, Float[np.ndarray, "layer neuron"]]:
    sites = find_sites(encoder, (OUTPUT,))
    output, hidden = sites[0].weight(encoder).shape
    shapes = (moments.hidden_mean.shape, moments.output_mean.shape)
    if shapes != ((len(sites), hidden), (len(sites), output)):
        raise SettingsError(
            f"the means of hidden and output neurons have the shapes {shapes[0]} and {shapes[1]}, but the encoder has "
            f"{len(sites)} layers of {hidden} hidden and {output} output neurons",
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
