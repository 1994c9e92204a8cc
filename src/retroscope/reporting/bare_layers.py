"""Layers as the blocks leave them, beside those with the final norm on each: figures, tables and one statement.

The last layer of many decoders passes through a final norm that the others do not. The report compares layers with that
norm on each; what they read without it stands in a section of its own. No conclusion rests on it.
"""

from dataclasses import replace

from retroscope.reporting.figure import Figure
from retroscope.reporting.findings import AFTER, BEFORE, Findings
from retroscope.reporting.frames import rows
from retroscope.reporting.latex import PaperTable
from retroscope.reporting.moved_figures import shape_figure, similarity_figure
from retroscope.reporting.numbers import score
from retroscope.reporting.paper_tables import paper_layers, paper_probes
from retroscope.reporting.probing_figures import family_figure, own_question_figure
from retroscope.reporting.retrieval_figures import layer_retrieval_figure
from retroscope.reporting.words import best, layer, limits

SUFFIX = "_bare"  # of the names of their figures and tables
WITHOUT = "without the final norm"


def bare_figures(findings: Findings) -> list[Figure]:
    """The figures by layer once more; none where the layers are read as they are anyway."""
    bare = _as_found(findings)
    if bare is None:
        return []
    made = [make(bare) for make in (layer_retrieval_figure, own_question_figure, family_figure)]
    if bare.moved is not None:
        made += [similarity_figure(bare, bare.moved), shape_figure(bare, bare.moved)]
    return [
        replace(
            figure,
            name=f"{figure.name}{SUFFIX}",
            title=f"{figure.title}, {WITHOUT}",
            caption=f"Layers as the blocks leave them, {WITHOUT} below the last. {figure.caption}",
        )
        for figure in made
        if figure is not None
    ]


def bare_tables(findings: Findings) -> dict[str, PaperTable]:
    """The tables by layer once more."""
    bare = _as_found(findings)
    if bare is None:
        return {}
    made = {"layer_retrieval": paper_layers(bare), "probing": paper_probes(bare)}
    return {
        f"{name}{SUFFIX}": replace(table, caption=f"{table.caption} Layers {WITHOUT}.")
        for name, table in made.items()
        if not table.frame.empty
    }


def bare_words(findings: Findings) -> str:
    """Which layer retrieves best as the blocks leave it; empty where that is not another reading."""
    bare = _as_found(findings)
    if bare is None or bare.layer_retrieval is None:
        return ""
    table = rows(bare.layer_retrieval, measure=findings.primary_measure)
    if table.empty:
        return ""
    tops = {side: best(table, side) for side in (BEFORE, AFTER)}
    said = [f"{layer(findings, row)} {side} ({score(row[side])} {limits(row, side)})" for side, row in tops.items()]
    return f" With the layers {WITHOUT}, which the last one alone has, the best would be {said[0]} and {said[1]}."


def with_norm(findings: Findings) -> str:
    """What a sentence about layers adds where each has the final norm; empty elsewhere."""
    return ", the final norm on each" if findings.bare is not None else ""


def _as_found(findings: Findings) -> Findings | None:
    """The findings with the bare layers in the place of the normed ones."""
    bare = findings.bare
    if bare is None:
        return None
    return replace(findings, layer_retrieval=bare.layer_retrieval, probing=bare.probing, moved=bare.moved)
