"""Measure which share of its attention each head gives to each kind of token, in queries and relevant passages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from retroscope.attribution.heads.attention import ATTENDING, TOKEN_KINDS, attention_by_kind, name_tokens
from retroscope.attribution.heads.choice import Head
from retroscope.attribution.heads.margins import MarginTexts
from retroscope.scores import QUERY


@dataclass(frozen=True, eq=False)
class Attended:
    """Shares of attention that heads give to each kind of token.

    Attributes:
        by_query: shares of the chosen heads, (query, tower, attending, head, kind). `attending` says which tokens
            attend: "all", or those that the pooling uses ("pooled").
        means: means over queries for all heads, with the columns tower, attending, kind, layer, head, "share" and
            "uniform" (the share of a head that attends to all tokens equally).
        gap: largest relative distance of the vectors by the eager implementation of attention, which returns the
            weights, from those by the usual implementation.
        limit: largest value of `gap` that is allowed.
    """

    by_query: xr.DataArray
    means: pd.DataFrame
    gap: float
    limit: float


def attended(texts: MarginTexts, heads: Sequence[Head], subjects: Mapping[str, str]) -> Attended:
    """Measure which share of its attention every head gives to each kind of token, in each encoder of `texts`.

    Args:
        heads: heads whose shares are returned query by query, and not only as means.
        subjects: query id -> its subject, whose tokens are a kind of their own. Queries may be missing.
    """
    by_tower = {}
    for tower in texts.towers:
        encoder = texts.retriever.tower(tower)
        named = [name_tokens(encoder, subjects[i]) if i in subjects else [] for i in texts.ids]
        by_tower[tower] = attention_by_kind(encoder, texts.rows[tower][: len(texts.ids)], named)
    shares = np.stack([attention.shares for attention in by_tower.values()], axis=1)
    uniform = np.stack([attention.uniform for attention in by_tower.values()], axis=1)
    of = {"tower": list(by_tower), "attending": list(ATTENDING)}
    _, _, _, layers, n_heads, _ = shares.shape
    every = {**of, "layer": list(range(1, layers + 1)), "head": list(range(n_heads)), "kind": list(TOKEN_KINDS)}
    share = xr.DataArray(shares.mean(0), every, tuple(every))
    alike = xr.DataArray(uniform.mean(0), {**of, "kind": list(TOKEN_KINDS)}, (*of, "kind"))
    means = xr.Dataset({"share": share, "uniform": alike}).to_dataframe().reset_index()
    at = ([head.layer - 1 for head in heads], [head.head for head in heads])
    coords = {QUERY: list(texts.ids), **of, "head": [str(head) for head in heads], "kind": list(TOKEN_KINDS)}
    by_query = xr.DataArray(shares[:, :, :, at[0], at[1]], coords, tuple(coords))
    return Attended(by_query, means, max(m.gap for m in by_tower.values()), max(m.limit for m in by_tower.values()))
