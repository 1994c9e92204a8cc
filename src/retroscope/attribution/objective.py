"""Objective: the scalar F, computed from embeddings. Its change along a path is attributed to the neurons.

The targets are:

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
    """The attributed scalar F of each example of one batch, computed from embeddings.

    An example is a text (`norm`) or a query (`score`, `margin`). On the passage tower, the margin of a query depends on
    two texts: the relevant passage and the negative. All other examples depend on one text.

    Attributes:
        other: for `score` and `margin`, the vector with which each text's own vector is compared; None for `norm`. By
            cosine, it has unit length. For `margin` on the query tower, it is the difference between the vectors of
            the relevant passage and the negative.
        sign: +1, or -1 for a text whose score is subtracted.
        example: index in the batch of the example that each text belongs to. Examples are numbered 0.. in order.
        cosine: whether the text's own vector is scaled to unit length.
    """

    other: Float[Tensor, "text out"] | None
    sign: Float[Tensor, "text"]
    example: Int[Tensor, "text"]
    cosine: bool = False

    @property
    def n_examples(self) -> int:
        """Return how many examples the batch has."""
        return int(self.example.max()) + 1

    def of_texts(
        self, encoder: Encoder, pooled: Float[Tensor, "row dim"], texts: Int[Tensor, "row"]
    ) -> Float[Tensor, "row"]:
        """Return what each row (a text at one path node) contributes to the scalar F of its example.

        Args:
            pooled: the pooled last layer of each row.
            texts: for each row, the index of its text in the batch.
        """
        if self.other is None:
            length: Tensor = unnormalised(encoder, pooled).norm(dim=-1)
            return length
        vector = finish(encoder, pooled)
        own = normalize(vector, dim=-1) if self.cosine else vector
        scores: Tensor = (own * self.other[texts]).sum(-1)
        return self.sign[texts] * scores

    def of_examples(self, shares: Float[Tensor, "*node text"]) -> Float[Tensor, "*node example"]:
        """Return the scalar F of every example: the sum of its texts' contributions."""
        total = torch.zeros(*shares.shape[:-1], self.n_examples, dtype=torch.float64, device=shares.device)
        for text, example in enumerate(self.example.tolist()):  # in order: the same sum on every device
            total[..., example] += shares[..., text].double()
        return total

    def only(self, examples: Sequence[int]) -> "Objective":
        """Return the objective (scalar F) of these examples only.

        They are numbered 0.. in this order, and so are their texts.
        """
        texts = [text for example in examples for text in self.texts_of(example)]
        numbers = [new for new, example in enumerate(examples) for _ in self.texts_of(example)]
        other = None if self.other is None else self.other[texts]
        return Objective(other, self.sign[texts], torch.tensor(numbers, device=self.example.device), self.cosine)

    def texts_of(self, example: int) -> list[int]:
        """Return the indices of the texts of one example."""
        return [text for text, of in enumerate(self.example.tolist()) if of == example]


def norms(texts: Sequence[object], device: torch.device) -> Objective:
    """Return the objective for the target `norm`: every text is an example, and F is the norm of its vector."""
    n = len(texts)
    return Objective(None, torch.ones(n, device=device), torch.arange(n, device=device))


def unnormalised(encoder: Encoder, pooled: Float[Tensor, "row dim"]) -> Float[Tensor, "row out"]:
    """Return the final vectors before they are scaled to length 1. After scaling, all norms would be equal.

    Args:
        pooled: the pooled last layer of each row.
    """
    recipe, vector = encoder.recipe, pooled
    if recipe.pooling == "pooler":
        vector = encoder.backbone.pooler(vector[:, None].to(encoder.backbone.dtype)).float()
    for part in encoder.head.children():
        vector = vector if isinstance(part, Normalize) else part(vector)
    return vector[:, : recipe.truncate_dim]
