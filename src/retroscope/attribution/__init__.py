"""Which neurons carry it? Exact path integrals over every FFN neuron, their controls and their ablation."""
