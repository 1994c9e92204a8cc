"""Attribution methods by name."""

from collections.abc import Callable

from retroscope.attribution.paths import Values, Work
from retroscope.attribution.weight_path import weight_path

METHODS: dict[str, Callable[[Work], Values]] = {"weight_path": weight_path}
