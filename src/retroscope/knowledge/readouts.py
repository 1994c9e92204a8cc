"""Read-outs from hidden states to log-probabilities of tokens: the language-model head, or a linear map for each layer.

The fitted read-out of a layer has the logits U (A z + b) + c. z is the state, standardised over the neutral text. U is
the output matrix of the backbone's language-model head, or its input embeddings if it has no head. A, b and c are
fitted by cross entropy, which is convex in them. U is the same for every model and layer. A read-out can therefore
predict any token, and not only the tokens that it was fitted to (the tuned lens, Belrose et al. 2023, arXiv 2303.08112;
Wallat et al. 2020 also fit one read-out to each layer).
"""

from dataclasses import dataclass
from math import cos, pi

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from retroscope.encoders.checkpoints.language_heads import LanguageHead
from retroscope.knowledge.settings import ReadoutSettings

HEAD, REFITTED = "head", "refitted"
SMALLEST = 1e-6  # standard deviation that a state is divided by, at least


@dataclass(frozen=True, eq=False)
class HeadReadout:
    """Read-out of token probabilities from hidden states of any layer, by the backbone's language-model head."""

    head: LanguageHead
    columns: None = None

    def log_probabilities(self, layer: int, states: Float[Tensor, "row dim"]) -> Float[Tensor, "row word"]:
        """Return the log-probability of every token of the vocabulary at each state."""
        with torch.inference_mode():
            return self.head.logits(states).log_softmax(-1).cpu()


@dataclass(frozen=True, eq=False)
class LinearReadout:
    """Linear map, fitted for every layer, from a standardised hidden state z to the token logits U (A z + b) + c.

    Attributes:
        mean, scale: mean and standard deviation of each layer's states over the neutral text.
        weight, bias: A and b of each layer.
        prior: c of each layer.
        output: U, with one row for each token that the read-out can predict.
        columns: token id -> index of its row in `output`, or -1 if it has none.
        loss: cross entropy of each layer on held-out neutral text.
    """

    mean: Float[Tensor, "layer dim"]
    scale: Float[Tensor, "layer dim"]
    weight: Float[Tensor, "layer dim out"]
    bias: Float[Tensor, "layer out"]
    prior: Float[Tensor, "layer word"]
    output: Float[Tensor, "word out"]
    columns: Int[Tensor, "token"]
    loss: tuple[float, ...]

    def log_probabilities(self, layer: int, states: Float[Tensor, "row dim"]) -> Float[Tensor, "row word"]:
        """Return the log-probability, at each state, of every token that the read-out can predict."""
        z = (states - self.mean[layer]) / self.scale[layer]
        logits = (z @ self.weight[layer] + self.bias[layer]) @ self.output.T + self.prior[layer]
        return logits.log_softmax(-1)


Readout = HeadReadout | LinearReadout


@dataclass(frozen=True, eq=False)
class Lesson:
    """Training data of a read-out: hidden states of neutral text at every layer, and the token to predict at each.

    Attributes:
        states: hidden states of every layer at each position.
        targets: id of the token to predict at each position.
        held_out: how many of the last positions are not used for fitting.
    """

    states: Float[Tensor, "layer row dim"]
    targets: Int[Tensor, "row"]
    held_out: int


def fit_readout(
    lesson: Lesson, output: Float[Tensor, "token out"], words: Int[Tensor, "word"], settings: ReadoutSettings
) -> LinearReadout:
    """Fit, for every layer of one model, a linear map from hidden states to token logits (read-out).

    Args:
        lesson: states and the tokens to predict.
        output: output matrix of the backbone's language-model head.
        words: ids of the tokens that the read-out can predict, including all tokens of `lesson.targets`.
    """
    columns = torch.full((len(output),), -1, dtype=torch.long)
    columns[words] = torch.arange(len(words))
    rows = len(lesson.targets) - lesson.held_out
    targets = columns[lesson.targets]
    matrix = output[words].float()
    matrix = (matrix - matrix.mean(0)) / matrix.std().clamp(min=SMALLEST)
    counts = torch.bincount(targets[:rows], minlength=len(words)).float()
    prior = ((counts + 1) / (counts.sum() + len(words))).log()
    training_states = lesson.states[:, :rows]
    mean, scale = training_states.mean(1), training_states.std(1).clamp(min=SMALLEST)
    fitted = [
        _fit_layer((states[:rows] - mean[k]) / scale[k], targets[:rows], matrix, prior, settings)
        for k, states in enumerate(lesson.states)
    ]
    weight, bias, priors = (torch.stack(part) for part in zip(*fitted, strict=True))
    readout = LinearReadout(mean, scale, weight, bias, priors, matrix, columns, ())
    held_out = [
        float(-readout.log_probabilities(k, states[rows:])[torch.arange(lesson.held_out), targets[rows:]].mean())
        for k, states in enumerate(lesson.states)
    ]
    return LinearReadout(mean, scale, weight, bias, priors, matrix, columns, tuple(held_out))


def _fit_layer(
    z: Float[Tensor, "row dim"],
    targets: Int[Tensor, "row"],
    matrix: Float[Tensor, "word out"],
    prior: Float[Tensor, "word"],
    settings: ReadoutSettings,
) -> tuple[Tensor, Tensor, Tensor]:
    """Fit A, b and c of one layer by gradient steps from A = 0, b = 0, c = log frequency of the tokens."""
    weight = torch.zeros(z.shape[1], matrix.shape[1], requires_grad=True)
    bias = torch.zeros(matrix.shape[1], requires_grad=True)
    offset = prior.clone().requires_grad_(True)
    # The matrix has entries of about 1 and a state `dim` of them: steps of A are as much smaller.
    groups = [{"params": [weight], "lr": settings.learning_rate * z.shape[1] ** -0.5}, {"params": [bias, offset]}]
    optimiser = torch.optim.Adam(groups, lr=settings.learning_rate)
    first = [group["lr"] for group in optimiser.param_groups]
    generator = torch.Generator().manual_seed(settings.seed)
    for step in range(settings.steps):
        for group, rate in zip(optimiser.param_groups, first, strict=True):
            group["lr"] = rate * (1 + cos(pi * step / settings.steps)) / 2
        rows = torch.randint(len(z), (settings.batch,), generator=generator)
        optimiser.zero_grad()
        logits = (z[rows] @ weight + bias) @ matrix.T + offset
        cross_entropy(logits, targets[rows]).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return weight.detach(), bias.detach(), offset.detach()
