"""Measure concentration without a threshold: how few neurons have most of an attribution.

The values are magnitudes, which are never negative. The result is NaN for a row of zeros (an FFN matrix on which F does
not depend), and for a row that contains NaN.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from retroscope.attribution.top_neurons.selection import TOP, how_many


def gini(values: Float[Tensor, "example neuron"]) -> Float[Tensor, "example"]:
    """Compute the Gini index: 0 if all neurons are equal, 1 - 1/n if one neuron has the whole total.

    2 sum_k k v_(k) / (n sum v) - (n + 1) / n over the values in rising order (Hurley and Rickard 2009, Comparing
    measures of sparsity, IEEE Trans. Inf. Theory 55(10), Table I).
    """
    n = values.shape[-1]
    rank = torch.arange(1, n + 1, dtype=torch.float64, device=values.device)
    ordered = values.sort(dim=-1).values.double()
    weighted: Tensor = (ordered * (2 * rank - n - 1)).sum(-1)
    return weighted / (n * ordered.sum(-1))


def participation_ratio(values: Float[Tensor, "example neuron"]) -> Float[Tensor, "example"]:
    """Compute the participation ratio (sum v)^2 / (n sum v^2): 1 if all neurons are equal, 1/n if one has the total.

    If k of the n neurons have equal values and all others are 0, the ratio is k/n. Times n, it is the reciprocal of the
    inverse participation ratio (Bell and Dean 1970, Discuss. Faraday Soc. 50, with v as the weight).
    """
    sizes = values.double()
    largest = sizes.amax(-1, keepdim=True)
    scaled = sizes / largest  # squares of small values would vanish
    share: Tensor = scaled.sum(-1) ** 2 / (scaled**2).sum(-1) / values.shape[-1]
    return share


def top_share(values: Float[Tensor, "example neuron"], share: float = TOP) -> Float[Tensor, "example"]:
    """Return the share of an example's total magnitude that its largest neurons have.

    Args:
        share: how many neurons count as largest, as a share of all; at least one neuron.
    """
    k = how_many(share, values.shape[-1])
    held: Tensor = values.topk(k, dim=-1).values.double().sum(-1)
    return held / values.double().sum(-1)
