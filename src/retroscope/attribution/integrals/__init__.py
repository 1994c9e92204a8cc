"""Attribution methods: divide a change of the scalar F among neurons, by path integrals or other rules."""
