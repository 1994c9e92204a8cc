"""Architecture: the module paths of a model's blocks and matrices.

The paths come from a table of model families, or from the shapes and values of one forward pass. They are verified by a
forward pass on every model that is loaded.
"""
