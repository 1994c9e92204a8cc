"""Retrieval: rank the passages of a collection by vectors, and measure the rankings.

Exact search, TREC runs and measures per query, of every layer, too.

`retrieve` and `retrieve_layers` rank all passages for all queries and return `Scores`. Ties are broken by passage id.
`linear_head` fits a linear map from a backbone's vectors, over `folds` of the queries.
"""
