"""Update an FFN output matrix W in closed form: change its outputs (values) for the keys of the edited subjects.

The key k of a subject is the input of W at the subject's last token, d the change of its value, and C the covariance of
the inputs of W over neutral text, whose outputs should stay.

Rank one (Meng et al. 2022, eq. 2): W' = W + d (C^-1 k)^T / ((C^-1 k)^T k), where k is averaged over contexts.

Many (Meng et al. 2023, eq. 14): W' = W + D K^T (r C + K K^T)^-1. K and D have one column for every prompt of a subject:
its key, and the d of the subject. The columns of a subject together have the weight of one column. Meng et al. use one
column with the mean key instead. In small models the keys of one subject differ so much between contexts that a change
at the mean key has little effect at any of them.
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
    """Add or remove the facts of the subjects one after another, each by a rank-one update of the FFN matrix."""
    for request in requests:
        change = target_changes(model, [request], settings, add=add)[0]
        give_value(model, mean_keys(model, [request])[0], change)


@torch.no_grad()
def give_value(model: Editable, key: Float[Tensor, "input"], change: Float[Tensor, "output"]) -> None:
    """Change the matrix by a rank-one update, so that its output for `key` changes by `change`."""
    direction = torch.linalg.solve(model.covariance.double(), key.double())
    update = torch.outer(change.double(), direction) / (direction @ key.double())
    model.matrix.add_(update.to(model.matrix.dtype))


def many(model: Editable, requests: Sequence[Request], settings: EditSettings, *, add: bool) -> None:
    """Add or remove the facts of all subjects by one update of the FFN matrix, with one key for each prompt."""
    keys = [subject_keys(model, request.prompts) for request in requests]
    changes = target_changes(model, requests, settings, add=add)
    owner = torch.tensor([k for k, rows in enumerate(keys) for _ in rows], device=changes.device)
    weight = torch.tensor([len(rows) ** -0.5 for rows in keys], device=changes.device)[owner, None]
    give_values(model, torch.cat(keys) * weight, changes[owner] * weight, settings.ridge)


@torch.no_grad()
def give_values(
    model: Editable, keys: Float[Tensor, "column input"], changes: Float[Tensor, "column output"], ridge: float
) -> None:
    """Change the matrix so that its outputs for the keys change by `changes`, by regularised least squares.

    The penalty is `ridge` times the covariance of inputs over neutral text. The solution is computed in float64,
    because the system is nearly singular for a small ridge: at a ridge of .01, float32 had an error of 45 %.
    """
    exact = keys.double()
    whole = ridge * model.covariance.double() + exact.T @ exact
    update = changes.double().T @ torch.linalg.solve(whole, exact.T).T
    model.matrix.add_(update.to(model.matrix.dtype))


def mean_keys(model: Editable, requests: Sequence[Request]) -> Float[Tensor, "request input"]:
    """Return the key of each subject: the input of the matrix at its last token, averaged over its prompts."""
    return torch.stack([subject_keys(model, request.prompts).mean(0) for request in requests])


@torch.no_grad()
def subject_keys(model: Editable, prompts: Sequence[Prompt]) -> Float[Tensor, "prompt input"]:
    """Return the key of every prompt: the input of the matrix at the last token of the subject."""
    batch = batch_of(model.encoder, prompts)
    with capture_calls({SITE: model.module}) as calls:
        model.encoder.backbone(input_ids=batch.ids, attention_mask=batch.mask)
    return calls.only(SITE).input[batch.own]
