"""Can a probe find relevance at a layer? The task, the probes, their controls, and the grid over layers."""
