"""Erasure by knowledge neurons (Dai et al. 2022): the neurons that a fact's probability is attributed to are erased.

A neuron's attribution is its activation times the mean gradient of p(object) while the activations of its layer, at the
positions that predict the object, go from 0 to their values (eq. 2; 20 steps). It is averaged over the contexts of a
fact. Of all layers the neurons with the largest attribution are taken, none below a fifth of the largest. Erased means
that their rows of the FFN output matrix become 0 (section 5.2).
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from retroscope.encoders.capture import capture_calls, rewrite_inputs
from retroscope.errors import SettingsError
from retroscope.knowledge.editing.model import SITE, Editable, batch_of, ffn_outputs, log_probabilities, matrix_of
from retroscope.knowledge.editing.prompts import Prompt, Request
from retroscope.knowledge.editing.settings import EditSettings

STEPS = 20  # of the path
SHARE = 0.2  # of the largest attribution, at least


def neurons(model: Editable, requests: Sequence[Request], settings: EditSettings, *, add: bool) -> None:
    """Erase the neurons of every fact. They are all found before the first is erased.

    Raises:
        SettingsError: if facts are to be added: erased neurons add nothing.
    """
    if add:
        raise SettingsError("the editor 'neurons' adds no facts", fix="remove facts, or use another editor")
    cut: set[tuple[int, int]] = set()
    for one in requests:
        for prompts in one.facts:
            cut |= knowledge_neurons(model, prompts, settings.neurons)
    modules = ffn_outputs(model.encoder)
    with torch.no_grad():
        for block, neuron in cut:
            matrix_of(model.encoder, modules[block])[:, neuron] = 0


def knowledge_neurons(model: Editable, prompts: Sequence[Prompt], number: int) -> set[tuple[int, int]]:
    """Return (block, neuron) of the neurons that carry a fact, at most `number`."""
    total = sum(torch.stack([_attribution(model, prompt, module) for module in ffn_outputs(model.encoder)])
                for prompt in prompts)  # fmt: skip
    assert isinstance(total, Tensor)
    values, places = total.flatten().topk(min(number, total.numel()))
    kept = places[values >= SHARE * values[0]].tolist()
    return {divmod(place, total.shape[1]) for place in kept}


def _attribution(model: Editable, prompt: Prompt, module: nn.Module) -> Float[Tensor, "neuron"]:
    """Return the attribution of every neuron of one layer to the probability of the object."""
    batch = batch_of(model.encoder, [prompt] * STEPS)
    at = list(prompt.at)
    with torch.no_grad(), capture_calls({SITE: module}) as calls:
        log_probabilities(model.encoder, model.head, batch_of(model.encoder, [prompt]))
    own = calls.only(SITE).input[0, at]
    scale = torch.arange(1, STEPS + 1, device=own.device) / STEPS
    rows = (scale[:, None, None] * own).requires_grad_(True)
    with rewrite_inputs({SITE: module}, _instead(at, rows)):
        p = log_probabilities(model.encoder, model.head, batch).exp()
    gradient = torch.autograd.grad(p.sum(), rows)[0]
    return (own * gradient.mean(0)).sum(0)


def _instead(at: list[int], rows: Float[Tensor, "step position neuron"]) -> Callable[[str, Tensor], Tensor]:
    def replaced(_: str, given: Tensor) -> Tensor:
        changed = given.clone()
        changed[:, at] = rows
        return changed

    return replaced
