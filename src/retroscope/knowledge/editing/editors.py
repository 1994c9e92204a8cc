"""The methods that edit facts (editors) by name, and the baseline method: constrained fine-tuning."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch

from retroscope.knowledge.editing.model import Editable, batch_of, log_probabilities
from retroscope.knowledge.editing.neurons import erase_neurons
from retroscope.knowledge.editing.prompts import Request
from retroscope.knowledge.editing.settings import NEURONS, EditSettings
from retroscope.knowledge.editing.updates import many, rank_one
from retroscope.knowledge.editing.values import SURE, loss_of


class Editor(Protocol):
    """Interface of an editor: a function that adds or removes facts by changing FFN output matrices in place."""

    def __call__(self, model: Editable, requests: Sequence[Request], settings: EditSettings, *, add: bool) -> None:
        """Add the facts of the requests to the model, or remove them, in place."""


def fine_tuning(model: Editable, requests: Sequence[Request], settings: EditSettings, *, add: bool) -> None:
    """Fine-tune the FFN output matrix on the facts; no weight may change by more than a bound (Zhu et al., 2020)."""
    batch = batch_of(model.encoder, [prompt for request in requests for prompt in request.prompts])
    weight = model.module.get_parameter("weight")
    first = weight.detach().clone()
    bound = settings.bound * float(first.std())
    optimiser = torch.optim.Adam([weight.requires_grad_(True)], lr=bound * settings.learning_rate)
    for _ in range(settings.steps):
        log_p = log_probabilities(model.encoder, model.head, batch)
        likely = log_p.detach().exp()
        if bool((likely >= SURE).all() if add else (likely <= settings.unlikely).all()):
            break
        optimiser.zero_grad()
        loss_of(log_p, add=add).mean().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        with torch.no_grad():
            weight.copy_(first + (weight - first).clamp(-bound, bound))
    weight.requires_grad_(False)
    weight.grad = None


EDIT: Mapping[str, Editor] = {
    "rank-one": rank_one,
    "many": many,
    "fine-tuning": fine_tuning,
    NEURONS: erase_neurons,
}
