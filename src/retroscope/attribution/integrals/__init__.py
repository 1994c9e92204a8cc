"""Attribution methods: divide a change of the target F among neurons, by path integrals or other rules."""
