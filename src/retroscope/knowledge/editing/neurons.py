"""Remove facts by setting their knowledge neurons to zero (Dai et al., 2022).

The attribution of a neuron for a prompt (eq. 5) is its activation times the mean gradient of the object's probability,
along the path from 0 to the activations of its layer at the positions that predict the object. The probability of an
object is the geometric mean over its tokens. The knowledge neurons of a fact are those whose attribution is large,
relative to the largest attribution in the prompt, in most prompts of the fact. To remove the fact, their columns of the
FFN output matrices are set to 0.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from retroscope.encoders.capture import capture_calls, rewrite_inputs
from retroscope.encoders.encoder import Encoder
from retroscope.knowledge.editing.model import (
    SITE,
    Editable,
    PromptBatch,
    batch_of,
    ffn_outputs,
    log_probabilities,
    matrix_of,
)
from retroscope.knowledge.editing.prompts import Prompt, Request
from retroscope.knowledge.editing.settings import EditSettings

NODES = 20  # of the Riemann sum, as published


def erase_neurons(model: Editable, requests: Sequence[Request], settings: EditSettings, *, add: bool) -> None:
    """Remove facts: set the columns of their knowledge neurons in the FFN output matrices of all layers to 0.

    Raises:
        ValueError: if `add` is True, because this method can only remove facts.
    """
    if add:
        raise ValueError("the editor of knowledge neurons can only remove facts, but facts are to be added")
    facts = [prompts for request in requests for prompts in request.facts]
    neurons = [knowledge_neurons(neuron_attributions(model, prompts), settings) for prompts in facts]
    with torch.no_grad():
        for module, erased in zip(ffn_outputs(model.encoder), torch.stack(neurons).any(0), strict=True):
            matrix_of(model.encoder, module)[:, erased] = 0


def silent_neurons(encoder: Encoder) -> list[int]:
    """Count, for every layer, the FFN neurons whose column in the output matrix is 0."""
    return [int((matrix_of(encoder, module) == 0).all(dim=0).sum()) for module in ffn_outputs(encoder)]


def knowledge_neurons(
    attributions: Float[Tensor, "prompt layer neuron"], settings: EditSettings
) -> Float[Tensor, "layer neuron"]:
    """Return a mask of the knowledge neurons of one fact (Dai et al., 2022, section 3.3).

    Args:
        attributions: attributions of all neurons for each prompt of the fact.
    """
    largest = attributions.amax(dim=(1, 2), keepdim=True)
    is_large = (attributions >= settings.threshold * largest) & (attributions > 0)
    return is_large.any(0) & (is_large.double().mean(0) >= settings.shared)


def neuron_attributions(model: Editable, prompts: Sequence[Prompt]) -> Float[Tensor, "prompt layer neuron"]:
    """Return the attribution of the object's probability to every FFN neuron, for each prompt.

    It is summed over the positions that predict tokens of the object.
    """
    batch, modules = batch_of(model.encoder, prompts), ffn_outputs(model.encoder)
    with torch.no_grad(), capture_calls({str(block): module for block, module in enumerate(modules)}) as calls:
        model.encoder.backbone(input_ids=batch.ids, attention_mask=batch.mask)
    layers = []
    for block, module in enumerate(modules):
        own = calls.only(str(block)).input[batch.row, batch.at]
        slopes = torch.stack(list(_gradients(model, batch, module, own))).mean(0)
        none = torch.zeros(len(prompts), own.shape[1], device=own.device)
        layers.append(none.index_add(0, batch.row, own * slopes))
    return torch.stack(layers, dim=1)


def _gradients(
    model: Editable, batch: PromptBatch, module: nn.Module, own: Float[Tensor, "prediction neuron"]
) -> Iterator[Float[Tensor, "prediction neuron"]]:
    """Yield the gradient of the object's probability at every node of the integration path.

    Args:
        module: the FFN output matrix whose inputs are the neurons.
        own: inputs of the matrix at the positions that predict tokens, the end of the path.
    """
    for node in range(1, NODES + 1):
        scaled = (own * (node / NODES)).requires_grad_()
        with rewrite_inputs({SITE: module}, _with_states(batch, scaled)):
            likely = log_probabilities(model.encoder, model.head, batch).exp()
        (slope,) = torch.autograd.grad(likely.sum(), scaled)
        yield slope


def _with_states(batch: PromptBatch, states: Float[Tensor, "prediction neuron"]) -> Callable[[str, Tensor], Tensor]:
    """Return a function that replaces the input of a module at the positions that predict tokens."""
    return lambda _, inputs: inputs.index_put((batch.row, batch.at), states.to(inputs.dtype))
