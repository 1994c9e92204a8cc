"""Charts: the type of a figure, curves over layers, outcomes of tests, colours, and rendering for page and paper."""
