"""Find the module paths of a model by a forward pass, if its family is not in the table of families."""
