"""Which parts matter? A backbone with some of its weights drawn afresh."""
