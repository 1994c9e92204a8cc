"""First-order estimates of head ablation: attribution patching.

Sources: Nanda 2023; Syed et al. 2023, arXiv 2310.10348.

Fixing head h at its mean changes F by about sum over tokens of dF/dz_h (mean_h - z_h), the first term of a Taylor
series at the intact network. One forward and one backward pass give this estimate for every head. The vectors of the
other tower are held fixed, so the estimate for both towers is the sum of the estimates for each tower. The joint effect
of both towers is of second order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from retroscope.attribution.examples import Example, objective
from retroscope.attribution.heads.sites import HeadSites, HeadValues, find_heads
from retroscope.attribution.integrals.trace import pool
from retroscope.attribution.objective import Objective
from retroscope.encoders.capture import rewrite_inputs
from retroscope.encoders.encode import Batch, TokenIds, model_inputs, pad, tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.token_budgets import ATTRIBUTION


def first_order(
    encoder: Encoder,
    examples: Sequence[Example],
    means: HeadValues,
    *,
    cosine: bool,
    progress: Callable[[int], None] | None = None,
) -> Float[np.ndarray, "example layer head"]:
    """Estimate, to first order, how fixing one attention head at its mean output changes the scalar F of each example.

    Args:
        means: the mean outputs at which heads are fixed.
        cosine: whether the retriever compares vectors by cosine.
        progress: called after each batch with the number of examples in it.
    """
    sites = find_heads(encoder)
    flat = iter(tokenise(encoder, [text for example in examples for text in example.texts]))
    rows = [[next(flat) for _ in example.texts] for example in examples]
    changes = np.zeros((len(examples), len(sites.paths), sites.heads))
    target = torch.from_numpy(means).to(encoder.device)
    for some in _batches(rows, ATTRIBUTION[encoder.device.type]):
        aim = objective([examples[i] for i in some], cosine=cosine, device=encoder.device)
        batch = pad(encoder, [row for i in some for row in rows[i]])
        by_text = _changes(encoder, sites, batch, aim, target)
        for place, index in enumerate(some):
            changes[index] = by_text[aim.texts_of(place)].sum(0).cpu().numpy()
        if progress:
            progress(len(some))
    return changes


def _batches(rows: Sequence[Sequence[TokenIds]], tokens: int) -> list[list[int]]:
    """Group examples of similar length into batches of at most `tokens` padded tokens, longest first."""
    longest = [max(map(len, texts)) for texts in rows]
    batches: list[list[int]] = []
    size = 0
    for i in sorted(range(len(rows)), key=lambda i: (-longest[i], i)):
        if not batches or (size + len(rows[i])) * longest[batches[-1][0]] > tokens:
            batches.append([])
            size = 0
        batches[-1].append(i)
        size += len(rows[i])
    return batches


@dataclass(frozen=True, eq=False)
class _Recorder:
    """Inputs of the attention output matrices in one forward pass, by path, with their autograd graph."""

    states: dict[str, Tensor] = field(default_factory=dict)

    def edit(self, path: str, states: Tensor) -> Tensor:
        """Record the input of an attention output matrix, and make it require a gradient."""
        recorded = states if states.requires_grad else states.detach().clone().requires_grad_()
        self.states[path] = recorded
        return recorded


def _changes(
    encoder: Encoder, sites: HeadSites, batch: Batch, aim: Objective, target: Tensor
) -> Float[Tensor, "text layer head"]:
    """Return the first-order change of the target F that each text contributes, by layer and head."""
    recorder, index = _Recorder(), torch.arange(len(batch.ids), device=encoder.device)
    with torch.enable_grad(), rewrite_inputs(sites.modules(encoder), recorder.edit):
        hidden = encoder.backbone(**model_inputs(encoder, batch), output_hidden_states=True).hidden_states[-1]
        shares = aim.of_texts(encoder, pool(encoder, hidden, batch.pooled), index)
        recorded = [recorder.states[path] for path in sites.paths]
        slopes = torch.autograd.grad(shares.sum(), recorded)
    layers = []
    for layer, (states, slope) in enumerate(zip(recorded, slopes, strict=True)):
        shape = (*batch.ids.shape, sites.heads, sites.width)
        away = target[layer] - states.detach().reshape(shape).double()
        by_token = (slope.reshape(shape).double() * away).sum(-1)
        layers.append((by_token * batch.mask[:, :, None]).sum(1))
    return torch.stack(layers, dim=1)
