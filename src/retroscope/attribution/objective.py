"""Objective: the scalar F of an embedding. Its change along a path is attributed to the neurons.

The targets:

- `norm`: L2 norm of the embedding before it is made unit length. This norm does not measure retrieval, and after a
  LayerNorm it hardly varies. It is the target of arXiv 2505.07166.
- `score`: similarity of query and relevant passage, s(q, p+).
- `margin`: s(q, p+) - s(q, p-), p- being the negative that the intact retriever scores highest. The negative p- stays
  the same passage along the path, so that F is smooth.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from retroscope.encoders.encode import finish
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.final_modules import Normalize


@dataclass(frozen=True, eq=False)
class Objective:
    """The scalar F of each example of one batch.

    An example is a text (`norm`) or a query (`score`, `margin`). Each has one row in the result. On the passage tower,
    the margin of a query has two texts.

    Attributes:
        other: for `score` and `margin`, the vector that each text's own vector is compared with, or None for `norm`. It
            has unit length if the similarity is cosine, and is a difference of two vectors for the margin of a query.
        sign: +1, or -1 for a text whose score is subtracted.
        example: index in the batch of the example that each text belongs to. Examples are numbered 0.. in order.
        cosine: whether the vector of the text is scaled to unit length, too.
    """

    other: Float[Tensor, "text out"] | None
    sign: Float[Tensor, "text"]
    example: Int[Tensor, "text"]
    cosine: bool = False

    @property
    def n_examples(self) -> int:
        """Return the number of examples in the batch."""
        return int(self.example.max()) + 1

    def of_texts(
        self, encoder: Encoder, pooled: Float[Tensor, "row dim"], texts: Int[Tensor, "row"]
    ) -> Float[Tensor, "row"]:
        """Return the contribution of each row to F of its example, from pooled vectors. `texts` maps rows to texts."""
        if self.other is None:
            length: Tensor = unnormalised(encoder, pooled).norm(dim=-1)
            return length
        vector = finish(encoder, pooled)
        own = normalize(vector, dim=-1) if self.cosine else vector
        scores: Tensor = (own * self.other[texts]).sum(-1)
        return self.sign[texts] * scores

    def of_examples(self, shares: Float[Tensor, "*node text"]) -> Float[Tensor, "*node example"]:
        """Sum the contributions of texts to F over every example."""
        total = torch.zeros(*shares.shape[:-1], self.n_examples, dtype=torch.float64, device=shares.device)
        for text, example in enumerate(self.example.tolist()):  # in order: the same sum on every device
            total[..., example] += shares[..., text].double()
        return total

    def only(self, examples: Sequence[int]) -> "Objective":
        """Return the objective of the given examples only, renumbered, with their texts in that order."""
        texts = [text for example in examples for text in self.texts_of(example)]
        numbers = [new for new, example in enumerate(examples) for _ in self.texts_of(example)]
        other = None if self.other is None else self.other[texts]
        return Objective(other, self.sign[texts], torch.tensor(numbers, device=self.example.device), self.cosine)

    def texts_of(self, example: int) -> list[int]:
        """Return the indices of the texts of one example."""
        return [text for text, of in enumerate(self.example.tolist()) if of == example]


def norms(texts: Sequence[object], device: torch.device) -> Objective:
    """Return the objective whose examples are single texts and whose scalar is the norm of the vector."""
    n = len(texts)
    return Objective(None, torch.ones(n, device=device), torch.arange(n, device=device))


def unnormalised(encoder: Encoder, pooled: Float[Tensor, "row dim"]) -> Float[Tensor, "row out"]:
    """Return the final vector before normalisation. A normalised vector always has norm 1."""
    recipe, vector = encoder.recipe, pooled
    if recipe.pooling == "pooler":
        vector = encoder.backbone.pooler(vector[:, None].to(encoder.backbone.dtype)).float()
    for part in encoder.head.children():
        vector = vector if isinstance(part, Normalize) else part(vector)
    return vector[:, : recipe.truncate_dim]
