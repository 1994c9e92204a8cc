"""Rank neurons by size, without gradients or queries, as a control for an attribution.

A neuron that is fixed at one value changes the output of its block. The size of this change (root mean square over
tokens) does not depend on what retrieval needs: for a hidden unit, it is the standard deviation of the activation times
the norm of its column of `ffn_out`. An attribution finds more than large neurons only if retrieval needs its neurons
more than the largest ones.
"""

import numpy as np
from jaxtyping import Float
from torch import Tensor

from retroscope.attribution.ablation import FIXED, HIDDEN, OUTPUT, NeuronMoments
from retroscope.attribution.sites import find_sites
from retroscope.attribution.top_neurons.selection import Ranking
from retroscope.encoders.encoder import Encoder

SIZE = "size"  # what such a ranking is by


def size_ranking(encoder: Encoder, moments: NeuronMoments, like: Ranking, *, at_mean: bool) -> Ranking:
    """Rank the neurons of another ranking by how much fixing each one alone changes the output of its block.

    The value is sqrt(E (h_i - value)^2) ||W_i||. W_i are the weights that read the unit: the column of `ffn_out` for
    `intermediate` and `up`, 1 for `output`. The deviation is taken about the mean if neurons are fixed at their mean,
    else about zero.

    Args:
        moments: moments of this encoder's neurons, over the texts that are encoded under ablation.
        like: ranking whose parts and layers are ranked.
    """
    norms = {site.layer: _column_norms(site.weight(encoder)) for site in find_sites(encoder, (OUTPUT,))}
    values = []
    for part, layer in like.sites:
        hidden = FIXED[part] == HIDDEN
        mean, deviation = (
            (moments.hidden_mean, moments.hidden_sd) if hidden else (moments.output_mean, moments.output_sd)
        )
        spread = deviation[layer - 1] if at_mean else np.hypot(deviation[layer - 1], mean[layer - 1])
        values.append(spread * norms[layer] if hidden else spread)
    return Ranking(SIZE, like.sites, tuple(values))


def _column_norms(weight: Float[Tensor, "neuron input"]) -> Float[np.ndarray, "input"]:
    return np.asarray(weight.detach().double().norm(dim=0).cpu().numpy())
