"""The probe `dot` chooses the candidate with the largest dot product with the query. It is not trained."""

import numpy as np
from jaxtyping import Float, Int

from retroscope.probing.accuracy import choice_accuracy, tie_tolerance
from retroscope.probing.trial import ProbeOutcome, ProbeTrial, unfitted


def dot(trial: ProbeTrial) -> ProbeOutcome:
    """Return the accuracy of choosing the candidate with the largest dot product with the query."""
    choices, view = trial.view.parts["test"], trial.view
    q, p = trial.query_vectors(choices).double(), trial.passage_vectors(choices).double()
    scores = (p @ q[:, :, None]).squeeze(2).numpy()
    longest = (q.norm(dim=1) * p.norm(dim=2).amax(dim=1)).numpy()
    tolerance = tie_tolerance(longest, q.shape[1])

    def credit(size: int, right: Int[np.ndarray, "choice"]) -> Float[np.ndarray, "choice"]:
        return choice_accuracy(scores[:, :size], right=right, tolerance=tolerance)

    targets = view.targets["test"]
    return unfitted(np.array([[credit(n, row) for n, row in zip(view.sizes, rows, strict=True)] for rows in targets]))
