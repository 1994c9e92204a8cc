"""Rows of the paired differences of probes."""

import pandas as pd

from retroscope.errors import AnalysisError
from retroscope.statistics import Difference
from retroscope.typesetting.frames import PLAIN, rows


def hardest(probing: Difference) -> int:
    """The largest number of candidate passages: the N at which the report speaks."""
    found = rows(probing)
    if found.empty:
        raise AnalysisError(
            "no cell of the probes was measured on both sides",
            where=probing.name,
            fix="report without probing, or probe both retrievers on the same queries",
        )
    return int(found["passages"].max())


def probe_rows(findings: Findings, **labels: object) -> pd.DataFrame:
    """The probing rows at `labels`; empty when nothing was probed."""
    if findings.probing is None:
        return pd.DataFrame(columns=["probe", "control", "passages", "layer"])
    return rows(findings.probing, **labels)


def own_rows(findings: Findings) -> pd.DataFrame:
    """The retriever's own question at the hardest N, by layer: its similarity as a probe, without control."""
    if findings.probing is None:
        return probe_rows(findings)
    n = hardest(findings.probing)
    return rows(findings.probing, probe=findings.after.similarity, control=PLAIN, passages=n)
