"""The types of a probe's input, `ProbeTrial`, and of its result, `ProbeOutcome`.

The input is the vectors of one layer and the probe examples of one split.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from retroscope.encoders.similarity import SIMILARITIES, TextVectors
from retroscope.errors import unknown_name
from retroscope.probing.accuracy import tie_tolerance
from retroscope.probing.controls import View
from retroscope.probing.options import Options
from retroscope.probing.splits import Choices
from retroscope.statistics.resampling.clusters import Clusters, numbered

Features = Float[Tensor, "choice candidate feature"]


@dataclass(frozen=True, eq=False)
class ProbeTrial:
    """Input of a probe: the vectors of one layer, and the probe examples of one split under some controls.

    Attributes:
        queries: one vector for each distinct query.
        passages: one vector for each distinct passage.
        view: the probe examples of each part, with the queries and labels of the controls.
        options: settings of the probe.
        similarity: how the retriever compares vectors, "dot" or "cosine".
        texts: index of the distinct text of each query. Queries with the same text are one observation.
    """

    queries: TextVectors
    passages: TextVectors
    view: View
    options: Options
    similarity: str
    texts: Int[np.ndarray, "query"]

    @cached_property
    def similarities(self) -> Mapping[str, Features]:
        """Return, for each part, the similarity of every candidate to its query, minus the mean over the candidates.

        The mean is subtracted in float64: if similarities are much larger than their differences, float32 would lose
        digits that the probes `dot` and `cosine` use. If all candidates of a probe example tie for these two probes,
        their differences are set to 0.
        """
        if self.similarity not in SIMILARITIES:
            raise unknown_name("similarity", self.similarity, SIMILARITIES)
        queries, passages = (SIMILARITIES[self.similarity](v.double()) for v in (self.queries, self.passages))

        def scores(choices: Choices) -> Features:
            query_rows, candidates = (torch.from_numpy(texts) for texts in (choices.query, choices.passages))
            q, p = queries[query_rows], passages[candidates]
            similarity = p @ q[:, :, None]
            apart = similarity - similarity.mean(dim=1, keepdim=True)
            rounding = tie_tolerance((q.norm(dim=1) * p.norm(dim=2).amax(dim=1)).numpy(), q.shape[1])
            differs = apart.abs().amax(dim=1, keepdim=True) > torch.from_numpy(rounding)[:, None, None]
            return torch.where(differs, apart, 0.0).float()

        return {part: scores(choices) for part, choices in self.view.parts.items()}

    def texts_of(self, part: str) -> Clusters:
        """Return which probe examples of one part of the split have the same query text."""
        return Clusters(numbered(self.texts[self.view.parts[part].query]))

    def query_vectors(self, choices: Choices) -> Float[Tensor, "choice dim"]:
        """Return the query vector of each probe example."""
        return self.queries[torch.from_numpy(choices.query)]

    def passage_vectors(self, choices: Choices) -> Features:
        """Return the vectors of all candidates of each probe example."""
        return self.passages[torch.from_numpy(choices.passages)]


@dataclass(frozen=True, eq=False)
class ProbeOutcome:
    """Result of a probe: its accuracy on the test examples, and whether its fits converged.

    Attributes:
        accuracy: accuracy of every test example: 1 or 0, or 1/k in a tie of k candidates.
        train_accuracy: mean accuracy of the training examples by the reported fit, or NaN if the probe has none.
        ridge: ridge penalty selected on the validation examples, or NaN if the probe has none.
        iterations: number of iterations of the solver; for `concat`, the best epoch; 0 if nothing is fitted.
        gradient: length of the gradient at the end, divided by its length at the start.
        excess: bound on the difference of the loss from its minimum, in nats.
        converged: whether `excess` is within the tolerance.
    """

    accuracy: Float[np.ndarray, "control size choice"]
    train_accuracy: Float[np.ndarray, "control size"]
    ridge: Float[np.ndarray, "control size"]
    iterations: Int[np.ndarray, "control size"]
    gradient: Float[np.ndarray, "control size"]
    excess: Float[np.ndarray, "control size"]
    converged: Bool[np.ndarray, "control size"]


Probe = Callable[[ProbeTrial], ProbeOutcome]


def unfitted(
    accuracy: Float[np.ndarray, "control size choice"], train_accuracy: Float[np.ndarray, "control size"] | None = None
) -> ProbeOutcome:
    """Return the `ProbeOutcome` of a probe that needs no iterative fit, given its accuracies."""
    none = np.full(accuracy.shape[:2], np.nan)
    return ProbeOutcome(
        accuracy=accuracy,
        train_accuracy=none if train_accuracy is None else train_accuracy,
        ridge=none,
        iterations=np.zeros(none.shape, dtype=np.int64),
        gradient=none,
        excess=none,
        converged=np.ones(none.shape, dtype=bool),
    )
