"""Attribution methods by name, and whether their signed values sum to the change F(1) - F(0) of the scalar F.

They sum to this change at each FFN matrix, over all FFN matrices together, or not at all.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from retroscope.attribution.integrals.activation import activation_x_gradient
from retroscope.attribution.integrals.conductance import conductance
from retroscope.attribution.integrals.joint_path import joint_path
from retroscope.attribution.integrals.paths import Values, Work, relative_gap, together
from retroscope.attribution.integrals.weight_path import weight_path
from retroscope.attribution.sites import Site

METHODS: dict[str, Callable[[Work], Values]] = {
    "weight_path": weight_path,
    "joint_path": joint_path,
    "conductance": conductance,
    "activation_x_gradient": activation_x_gradient,
}

EACH, ALL = "each site", "all sites"
COMPLETE_OVER: dict[str, str | None] = {
    "weight_path": EACH,
    "joint_path": ALL,
    "conductance": None,
    "activation_x_gradient": None,
}


def gaps(method: str, values: Values) -> dict[Site, Float[Tensor, "example"]]:
    """Return every example's relative completeness gap by FFN matrix (site), or NaN if the method is not complete.

    If the values sum to F(1) - F(0) only over all FFN matrices together, every matrix gets the gap of this total sum.
    """
    over, total_gap = COMPLETE_OVER[method], relative_gap(together(values))
    if over == EACH:
        return {site: relative_gap(site_values) for site, site_values in values.items()}
    return dict.fromkeys(values, total_gap if over == ALL else torch.full_like(total_gap, torch.nan))
