"""Attribution methods: path integrals and others that compute each neuron's share of a change of F."""
