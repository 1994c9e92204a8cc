"""Update an FFN output matrix W in closed form: change the values of some keys, and keep those of others.

Rank one (Meng et al. 2022, eq. 2): W' = W + d (C^-1 k)^T / ((C^-1 k)^T k), with k the input of W at the last token of
the subject, averaged over contexts, d the change of its value, and C the covariance of inputs over neutral text. Many
(Meng et al. 2023, eq. 14): W' = W + D K^T (r C + K K^T)^-1. K and D have a column for every prompt of a subject, in
which all have the same d and share the weight of one; Meng et al. take one column with the mean key. In small models
the keys of one subject differ so much between contexts that the mean key reaches none of them.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from retroscope.encoders.capture import capture_calls
from retroscope.knowledge.editing.model import SITE, Editable, batch_of
from retroscope.knowledge.editing.prompts import Prompt, Request
from retroscope.knowledge.editing.settings import EditSettings
from retroscope.knowledge.editing.values import target_changes


def rank_one(model: Editable, requests: Sequence[Request], settings: EditSettings, *, add: bool) -> None:
    """Edit the subjects one after another, each by a rank-one update."""
    for one in requests:
        change = target_changes(model, [one], settings, add=add)[0]
        give_value(model, mean_keys(model, [one])[0], change)


@torch.no_grad()
def give_value(model: Editable, key: Float[Tensor, "input"], change: Float[Tensor, "output"]) -> None:
    """Change the value of one key by a rank-one update of the matrix."""
    direction = torch.linalg.solve(model.covariance.double(), key.double())
    update = torch.outer(change.double(), direction) / (direction @ key.double())
    model.matrix.add_(update.to(model.matrix.dtype))


def many(model: Editable, requests: Sequence[Request], settings: EditSettings, *, add: bool) -> None:
    """Edit all subjects by one update with one key per prompt."""
    keys = [subject_keys(model, one.prompts) for one in requests]
    changes = target_changes(model, requests, settings, add=add)
    owner = torch.tensor([k for k, rows in enumerate(keys) for _ in rows], device=changes.device)
    weight = torch.tensor([len(rows) ** -0.5 for rows in keys], device=changes.device)[owner, None]
    give_values(model, torch.cat(keys) * weight, changes[owner] * weight, settings.ridge)


@torch.no_grad()
def give_values(
    model: Editable, keys: Float[Tensor, "column input"], changes: Float[Tensor, "column output"], ridge: float
) -> None:
    """Change the values of several keys by least squares, with `ridge` times the covariance as penalty, in float64.

    With a small ridge the sum is nearly singular: at a ridge of .01, single precision had an error of 45 %.
    """
    exact = keys.double()
    whole = ridge * model.covariance.double() + exact.T @ exact
    update = changes.double().T @ torch.linalg.solve(whole, exact.T).T
    model.matrix.add_(update.to(model.matrix.dtype))


def mean_keys(model: Editable, requests: Sequence[Request]) -> Float[Tensor, "request input"]:
    """Return the input of the matrix at each subject's last token, averaged over the prompts of the subject."""
    return torch.stack([subject_keys(model, one.prompts).mean(0) for one in requests])


@torch.no_grad()
def subject_keys(model: Editable, prompts: Sequence[Prompt]) -> Float[Tensor, "prompt input"]:
    """Return the input of the matrix at the last token of every prompt's subject."""
    batch = batch_of(model.encoder, prompts)
    with capture_calls({SITE: model.module}) as calls:
        model.encoder.backbone(input_ids=batch.ids, attention_mask=batch.mask)
    return calls.only(SITE).input[batch.own]
