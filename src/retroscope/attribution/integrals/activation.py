"""Activation times gradient: the first-order change of the scalar F if a neuron is set to zero.

For z = W x + b of the intact network: signed_i = sum over tokens t of z_ti dF/dz_ti, the first term of the Taylor
series of F(z) - F(z_i = 0) (Molchanov et al. 2017, arXiv 1611.06440, eq. 8, before its absolute value). It takes one
backward pass.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from retroscope.attribution.integrals.passes import Stretch, with_slopes
from retroscope.attribution.integrals.paths import SiteValues, Values, Work, over_tokens
from retroscope.attribution.integrals.quadrature import only_rule
from retroscope.attribution.sites import Site


def activation_x_gradient(work: Work) -> Values:
    """Attribute the scalar F to neurons to first order: multiply the activation of every neuron by its gradient.

    magnitude_i = sum over tokens of |z_ti dF/dz_ti|. The signed values need not sum to any change of F. The nodes of
    the quadrature rule are not used. There is no path, so `start` is NaN. `spread` is the sum of the magnitudes over
    the neurons of one FFN matrix, the most that F can lose to first order.

    Raises:
        SettingsError: if the quadrature is `auto:TOL`, because there is no completeness gap to reduce.
    """
    only_rule(work.quadrature, "activation_x_gradient")
    texts = torch.arange(len(work.batch.ids), device=work.encoder.device)
    shares: list[Tensor] = []
    products: dict[Site, list[Tensor]] = {site: [] for site in work.sites}
    for some in torch.split(texts, max(1, work.rows)):
        result = with_slopes(work, Stretch(some, torch.ones(1, device=some.device), "sites"))
        shares.append(result.shares[0])
        for site, seen in result.sites.items():
            products[site].append(seen.outputs[0] * seen.slope[0])
    value = work.objective.of_examples(torch.cat(shares))
    return {site: _values(work, value, torch.cat(products[site])) for site in work.sites}


def _values(work: Work, value: Float[Tensor, "example"], products: Float[Tensor, "text token neuron"]) -> SiteValues:
    magnitude, signed = over_tokens(products, work.objective)
    return SiteValues(
        magnitude=magnitude,
        signed=signed,
        start=torch.full_like(value, torch.nan),
        end=value,
        spread=magnitude.double().sum(1),
        nodes=torch.ones(len(value), dtype=torch.long, device=value.device),
    )
