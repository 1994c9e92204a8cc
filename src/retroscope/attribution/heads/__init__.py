"""Which attention heads does a score depend on? Ablation, its first-order estimate, attention, and patching."""
