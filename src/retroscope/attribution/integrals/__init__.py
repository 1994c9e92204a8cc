"""The path integrals and the methods beside them: how a neuron's share of a change is computed."""
