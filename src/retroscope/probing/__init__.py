"""Is relevance readable here? The task, the probes, their controls, and the grid over layers."""
