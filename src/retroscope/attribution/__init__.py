"""Attribution: compute each neuron's contribution to an embedding or to a retrieval score.

Path integrals over every FFN neuron, their controls and their ablation.
"""
