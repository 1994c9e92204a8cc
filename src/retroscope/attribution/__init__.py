"""Which neurons does a score depend on? Path integrals over every FFN neuron, their controls and their ablation."""
