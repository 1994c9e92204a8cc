"""Attribution: compute each neuron's contribution to an embedding or to a retrieval score.

Neurons are attributed by path integrals, and checked by ablation. `heads` and `patching` measure attention heads and
other components.
"""
