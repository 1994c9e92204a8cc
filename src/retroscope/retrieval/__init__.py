"""Retrieval: rank the passages of a collection by vectors, and compute measures of the rankings.

`retrieve` ranks all passages for every judged query by the final vectors, and `retrieve_layers` by the vectors of every
layer. The search is exact; ties are broken by passage id. `linear_head` fits a linear map of query vectors by
cross-validation over the `folds` of the queries.
"""
