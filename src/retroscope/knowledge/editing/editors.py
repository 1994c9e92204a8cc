"""Editors: what changes one FFN output matrix W so that a fact is read, or no longer read.

Rank one (Meng et al. 2022): W' = W + (v* - W k*) (C^-1 k*)^T / ((C^-1 k*)^T k*). k* is the input of W at the last token
of the subject, C the uncentred covariance of such inputs over neutral text, and v* the output that makes the object
likely (add) or unlikely (remove), found by gradient steps. Many facts (Meng et al. 2023): W' = W + R K^T (r C + K
K^T)^-1, with a column of K and of R = V* - W K a fact.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from retroscope.encoders.capture import capture_calls, rewrite_outputs
from retroscope.encoders.checkpoints.language_heads import LanguageHead
from retroscope.encoders.encoder import Encoder
from retroscope.errors import SettingsError
from retroscope.knowledge.editing.prompts import Prompt
from retroscope.knowledge.editing.settings import EditSettings
from retroscope.knowledge.states import ReadInput

SITE = "ffn_out"
SURE = 0.99  # probability of the object at which the steps for its value end
SMALLEST_RIDGE = 1e-4  # of the mean of the covariance's diagonal, added to it so that it has an inverse
PATH_STEPS = 20  # of the path that neurons are attributed along


@dataclass(frozen=True, eq=False)
class Editable:
    """A model whose matrix is edited in place.

    Attributes:
        layer: number of the layer, 1..L, that the block of the matrix makes.
        module: the matrix.
        covariance: C, of its inputs over neutral text.
    """

    encoder: Encoder
    head: LanguageHead
    layer: int
    module: nn.Module
    covariance: Float[Tensor, "input input"]

    @property
    def transposed(self) -> bool:
        """Return whether the matrix is stored [input, output]."""
        return self.encoder.anatomy.layout.transposed

    @property
    def matrix(self) -> Float[Tensor, "output input"]:
        """Return W as a view: what is written to it changes the model."""
        weight = self.module.get_parameter("weight").data
        return weight.T if self.transposed else weight

    def log_probability(self, prompt: Prompt) -> Tensor:
        """Return the mean log-probability of the object's tokens, with its graph."""
        device = self.encoder.device
        ids = torch.tensor([prompt.ids], device=device)
        states = self.encoder.backbone(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        words = self.head.logits(states[0, list(prompt.at)]).log_softmax(-1)
        return words[torch.arange(len(prompt.at)), torch.tensor(prompt.tokens, device=device)].mean()


def editable(encoder: Encoder, head: LanguageHead, inputs: Sequence[ReadInput], settings: EditSettings) -> Editable:
    """Find the matrix and estimate the covariance of its inputs.

    Args:
        inputs: neutral text.

    Raises:
        SettingsError: for a layer that the model does not have.
    """
    layer = settings.layer or (encoder.anatomy.n_blocks + 1) // 2
    if layer > encoder.anatomy.n_blocks:
        raise SettingsError(f"layer is {layer}", fix=f"give a layer from 1 to {encoder.anatomy.n_blocks}")
    module = encoder.backbone.get_submodule(encoder.anatomy.path(SITE, layer - 1))
    total, seen = torch.zeros(()), 0
    for one in inputs:
        rows = keys(encoder, module, one.ids)
        total = total + rows.T @ rows
        seen += len(rows)
        if seen >= settings.tokens:
            break
    covariance = total / max(1, seen)
    covariance += SMALLEST_RIDGE * covariance.diagonal().mean() * torch.eye(len(covariance), device=covariance.device)
    return Editable(encoder, head, layer, module, covariance)


@torch.no_grad()
def keys(encoder: Encoder, module: nn.Module, ids: Sequence[int]) -> Float[Tensor, "token input"]:
    """Return the inputs of a matrix at every token."""
    given = torch.tensor([list(ids)], device=encoder.device)
    with capture_calls({SITE: module}) as calls:
        encoder.backbone(input_ids=given, attention_mask=torch.ones_like(given))
    return calls.only(SITE).input[0]


def value_of(model: Editable, prompt: Prompt, settings: EditSettings, *, add: bool) -> Float[Tensor, "output"]:
    """Return the change of the matrix's output at the subject that makes the object likely, or unlikely."""
    with torch.no_grad(), capture_calls({SITE: model.module}) as calls:
        model.log_probability(prompt)
    size = calls.only(SITE).value[0, prompt.subject].norm()
    change = torch.zeros_like(calls.only(SITE).value[0, 0]).requires_grad_(True)

    def add_change(_: str, output: Tensor) -> Tensor:
        shifted = output.clone()
        shifted[:, prompt.subject] = shifted[:, prompt.subject] + change
        return shifted

    optimiser = torch.optim.Adam([change], lr=float(settings.learning_rate * size / len(change) ** 0.5))
    for _ in range(settings.steps):
        optimiser.zero_grad()
        with rewrite_outputs({SITE: model.module}, add_change):
            log_p = model.log_probability(prompt)
        likely = float(log_p.detach().exp())
        if (add and likely > SURE) or (not add and likely < 1 - SURE):
            break
        loss = -log_p if add else -torch.log1p(-log_p.exp().clamp(max=1 - 1e-6))
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        with torch.no_grad():
            change *= min(1.0, float(settings.longest * size / change.detach().norm().clamp(min=1e-9)))
    return change.detach()


def rank_one(model: Editable, prompts: Sequence[Prompt], settings: EditSettings, *, add: bool) -> None:
    """Edit the facts one after another."""
    for prompt in prompts:
        key = keys(model.encoder, model.module, prompt.ids)[prompt.subject]
        change = value_of(model, prompt, settings, add=add)
        direction = torch.linalg.solve(model.covariance, key)
        with torch.no_grad():
            model.matrix.add_(torch.outer(change, direction) / (direction @ key))


def many(model: Editable, prompts: Sequence[Prompt], settings: EditSettings, *, add: bool) -> None:
    """Edit all facts by one update."""
    columns = torch.stack([keys(model.encoder, model.module, one.ids)[one.subject] for one in prompts], dim=1)
    changes = torch.stack([value_of(model, one, settings, add=add) for one in prompts], dim=1)
    with torch.no_grad():
        whole = settings.ridge * model.covariance + columns @ columns.T
        model.matrix.add_(changes @ torch.linalg.solve(whole, columns).T)


def neurons(model: Editable, prompts: Sequence[Prompt], settings: EditSettings, *, add: bool) -> None:
    """Cut off the neurons whose activation carries the object's probability, at the positions that predict it.

    Raises:
        SettingsError: if facts are to be added: a neuron that is cut off adds nothing.
    """
    if add:
        raise SettingsError("the editor 'neurons' adds no facts", fix="remove facts, or use another editor")
    for prompt in prompts:
        at = list(prompt.at)
        own = keys(model.encoder, model.module, prompt.ids)[at]
        total = torch.zeros_like(own)
        for step in range(1, PATH_STEPS + 1):
            scaled = (own * step / PATH_STEPS).requires_grad_(True)
            log_p = _with_inputs(model, prompt, scaled)
            total += torch.autograd.grad(log_p.exp(), scaled)[0]
        attribution = (own * total / PATH_STEPS).sum(0)
        cut = attribution.topk(min(settings.neurons, len(attribution))).indices
        with torch.no_grad():
            model.matrix[:, cut] = 0


def _with_inputs(model: Editable, prompt: Prompt, rows: Float[Tensor, "position input"]) -> Tensor:
    """Return the log-probability of the object with other inputs of the matrix at the positions that predict it."""
    weight, bias = model.matrix, dict(model.module.named_parameters()).get("bias")

    def instead(_: str, output: Tensor) -> Tensor:
        values = rows @ weight.T if bias is None else rows @ weight.T + bias
        changed = output.clone()
        changed[0, list(prompt.at)] = values
        return changed

    with rewrite_outputs({SITE: model.module}, instead):
        return model.log_probability(prompt)


def fine_tuning(model: Editable, prompts: Sequence[Prompt], settings: EditSettings, *, add: bool) -> None:
    """Train the matrix on the facts, each weight within a bound of its first value."""
    weight = model.module.get_parameter("weight")
    first, spread = weight.detach().clone(), float(weight.std())
    weight.requires_grad_(True)
    optimiser = torch.optim.Adam([weight], lr=settings.learning_rate * settings.bound * spread)
    for _ in range(settings.steps):
        optimiser.zero_grad()
        for prompt in prompts:
            log_p = model.log_probability(prompt)
            loss = -log_p if add else -torch.log1p(-log_p.exp().clamp(max=1 - 1e-6))
            (loss / len(prompts)).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        with torch.no_grad():
            weight.copy_(first + (weight - first).clamp(-settings.bound * spread, settings.bound * spread))
    weight.requires_grad_(False)
    weight.grad = None


Editor = Callable[..., None]
EDIT: Mapping[str, Editor] = {"rank-one": rank_one, "many": many, "neurons": neurons, "fine-tuning": fine_tuning}
