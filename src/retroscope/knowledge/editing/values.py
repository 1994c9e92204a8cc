"""Find the value of a subject: the matrix's output at its last token that makes the subject's facts likely or unlikely.

The method is eq. 4 of Meng et al. (2022), without the term that keeps the subject's other properties. Gradient steps
find a change d of the output at the subject's last token. To add facts, they minimise the mean of -log p(object) over
facts and contexts. To remove facts, they minimise the mean of -log(1 - p(object)) (Hase et al. 2023, "fact erasure").
The length of d is limited.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from retroscope.encoders.capture import capture_calls, rewrite_outputs
from retroscope.knowledge.editing.model import SITE, Editable, PromptBatch, batch_of, log_probabilities
from retroscope.knowledge.editing.prompts import Request
from retroscope.knowledge.editing.settings import EditSettings

SURE = 0.95  # probability of an object, in every prompt, at which the steps of an addition end
CHUNK = 512  # prompts in one forward pass, at most


def target_changes(
    model: Editable, requests: Sequence[Request], settings: EditSettings, *, add: bool
) -> Float[Tensor, "request output"]:
    """Find, for every subject, the change of the FFN matrix's output that makes its facts likely or unlikely.

    The output is that at the subject's last token. A request is one subject with its facts.
    """
    parts = []
    size = max(1, CHUNK // max(len(request.prompts) for request in requests))
    for start in range(0, len(requests), size):
        parts.append(_changes(model, requests[start : start + size], settings, add=add))
    return torch.cat(parts)


def _changes(
    model: Editable, requests: Sequence[Request], settings: EditSettings, *, add: bool
) -> Float[Tensor, "request output"]:
    """Return the changes for some requests (one subject each), found by gradient steps in one batch.

    Requests do not influence one another, because Adam treats every number separately.
    """
    batch = batch_of(model.encoder, [prompt for request in requests for prompt in request.prompts])
    owner = torch.tensor([k for k, request in enumerate(requests) for _ in request.prompts], device=batch.ids.device)
    size = _state_lengths(model, batch, owner)
    unit = torch.zeros(len(requests), len(model.matrix), device=batch.ids.device, requires_grad=True)
    changes, ended = torch.zeros_like(unit), torch.zeros(len(requests), dtype=torch.bool, device=unit.device)
    optimiser = torch.optim.Adam([unit], lr=settings.learning_rate / unit.shape[1] ** 0.5)
    for _ in range(settings.steps):
        with rewrite_outputs({SITE: model.module}, adding(batch.own, (unit * size)[owner])):
            log_p = log_probabilities(model.encoder, model.head, batch)
        wrong = (log_p.detach().exp() < SURE) if add else (log_p.detach().exp() > settings.unlikely)
        meets_goal = torch.bincount(owner[wrong], minlength=len(requests)) == 0
        changes = torch.where((meets_goal & ~ended)[:, None], unit.detach() * size, changes)
        ended |= meets_goal
        if bool(ended.all()):
            break
        optimiser.zero_grad()
        loss = loss_of(log_p, add=add).masked_fill(ended[owner], 0.0) / torch.bincount(owner)[owner]
        loss.sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        with torch.no_grad():
            unit *= (settings.longest / unit.norm(dim=1, keepdim=True).clamp(min=1e-9)).clamp(max=1)
    return torch.where(ended[:, None], changes, unit.detach() * size)


def loss_of(log_p: Float[Tensor, "prompt"], *, add: bool) -> Float[Tensor, "prompt"]:
    """Return the loss of every prompt: -log p to add facts, or -log(1 - p) to remove them."""
    return -log_p if add else -torch.log1p(-log_p.exp().clamp(max=1 - 1e-6))


def _state_lengths(model: Editable, batch: PromptBatch, owner: Tensor) -> Float[Tensor, "request 1"]:
    """Return the length of the layer's state at each subject's (request's) last token, averaged over prompts."""
    block = model.encoder.anatomy.blocks(model.encoder.backbone)[model.layer - 1]
    with torch.no_grad(), capture_calls({SITE: block}) as calls:
        model.encoder.backbone(input_ids=batch.ids, attention_mask=batch.mask)
    length = calls.only(SITE).value[batch.own].norm(dim=1)
    counts = torch.bincount(owner)
    return (torch.zeros(len(counts), device=length.device).index_add(0, owner, length) / counts)[:, None]


def adding(where: tuple[Tensor, Tensor], change: Float[Tensor, "prompt output"]) -> Callable[[str, Tensor], Tensor]:
    """Return a function that adds changes to a module's output at the indices `where` of prompts and tokens."""

    def add_change(_: str, output: Tensor) -> Tensor:
        return output.index_put(where, change.to(output.dtype), accumulate=True)

    return add_change
