"""Which neurons carry it? Exact path integrals over every FFN neuron, their controls and their ablation."""

from retroscope.attribution.ablation import ablated, neuron_moments
from retroscope.attribution.attribute import attribute_neurons, plan_attribution
from retroscope.attribution.methods import METHODS
from retroscope.attribution.overlap import Overlap, overlap
from retroscope.attribution.quadrature import quadrature
from retroscope.attribution.result import NeuronAttribution
from retroscope.attribution.settings import NeuronSettings
from retroscope.attribution.units import collection_units, text_units

__all__ = [
    "METHODS",
    "NeuronAttribution",
    "NeuronSettings",
    "Overlap",
    "ablated",
    "attribute_neurons",
    "collection_units",
    "neuron_moments",
    "overlap",
    "plan_attribution",
    "quadrature",
    "text_units",
]
