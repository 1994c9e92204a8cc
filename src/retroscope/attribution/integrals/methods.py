"""Attribution methods by name, and the sites over which their signed values sum to F(1) - F(0)."""

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
    """Return the relative completeness gap of every site, or NaN if the method is not complete.

    A method that is complete over all sites together has one gap, the same at each site.
    """
    over, whole = COMPLETE_OVER[method], relative_gap(together(values))
    if over == EACH:
        return {site: relative_gap(found) for site, found in values.items()}
    return dict.fromkeys(values, whole if over == ALL else torch.full_like(whole, torch.nan))
