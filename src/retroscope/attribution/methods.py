"""Attribution methods by name, and over what the signed values of each sum to F(1) - F(0)."""

from collections.abc import Callable

from retroscope.attribution.activation import activation_x_gradient
from retroscope.attribution.conductance import conductance
from retroscope.attribution.joint_path import joint_path
from retroscope.attribution.paths import Values, Work
from retroscope.attribution.weight_path import weight_path

METHODS: dict[str, Callable[[Work], Values]] = {
    "weight_path": weight_path,
    "joint_path": joint_path,
    "conductance": conductance,
    "activation_x_gradient": activation_x_gradient,
}

COMPLETE_OVER: dict[str, str | None] = {
    "weight_path": "each site",
    "joint_path": "all sites",
    "conductance": None,
    "activation_x_gradient": None,
}
