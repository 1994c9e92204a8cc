"""Check whether fine-tuning made the vectors of unrelated texts more similar. A check of `doctor` on a pair."""

from collections.abc import Iterator

from retroscope.encoders.checks.finding import PASSED, WARNING, Finding
from retroscope.encoders.checks.unrelated import RISE, unrelated_cosines
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.pooling import POOLINGS


def unrelated_texts(before: Retriever, after: Retriever) -> Iterator[Finding]:
    """Compare the similarity of unrelated texts before and after; contrastive training should lower it.

    There is no finding if the pooling of either model is unknown.
    """
    if any(r.passage.recipe.pooling not in POOLINGS for r in (before, after)):
        return
    means = [float(unrelated_cosines(r.passage).mean()) for r in (before, after)]
    evidence = f"mean cosine of sentences about unrelated topics: {means[0]:.3f} before, {means[1]:.3f} after"
    if means[1] - means[0] > RISE:
        fix = "choose score thresholds again, and check the training data and the anisotropy of every layer"
        yield Finding(WARNING, "similarities", f"{evidence}, a rise by more than {RISE:g}", fix)
    else:
        yield Finding(PASSED, "similarities", evidence)
