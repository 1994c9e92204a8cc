"""Which neurons does a score depend on? Exact path integrals over every FFN neuron, controls and ablation."""
