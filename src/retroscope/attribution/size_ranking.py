"""Rank neurons by how much they change their block's output: a control for attributions. No gradients, no queries.

Fixing a neuron at one value changes the output of its block. The root mean square of this change over tokens ranks the
neurons. For a hidden unit, it is the standard deviation of the activation times the norm of the unit's column of
`ffn_out`. An attribution is informative only if ablating its top neurons costs more retrieval than ablating the
largest neurons by this ranking.
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
    """Rank neurons by how much fixing each one alone changes the output of its block.

    For neuron i that is fixed at c, this is sqrt(E (h_i - c)^2) ||W_i||. W_i is the unit's column of `ffn_out` for
    `intermediate` and `up`. For `output`, ||W_i|| is 1.

    Args:
        moments: mean and standard deviation of this encoder's neurons over the texts that are encoded under ablation.
        like: ranking that names the FFN matrices and layers whose neurons are ranked.
        at_mean: whether c is the neuron's mean. If False, c is 0.
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
