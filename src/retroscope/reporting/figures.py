"""Figures: one specification each, for the page (interactive) and for paper (PDF, SVG)."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

from retroscope.reporting.bare_layers import bare_figures
from retroscope.reporting.baseline_figures import baseline_figures
from retroscope.reporting.figure import Figure
from retroscope.reporting.files import whole_folder, write_whole
from retroscope.reporting.findings import Findings
from retroscope.reporting.moved_figures import moved_figures
from retroscope.reporting.neuron_figures import activity_figure, layer_activity_figure, move_figure, profile_figure
from retroscope.reporting.neuron_findings import NeuronFindings
from retroscope.reporting.neuron_maps import map_figure
from retroscope.reporting.neuron_proofs import ablation_figure, overlap_figure
from retroscope.reporting.probing_figures import effect_figure, family_figure, own_question_figure, selectivity_figure
from retroscope.reporting.retrieval_figures import flips_figure, layer_retrieval_figure, retrieval_figure
from retroscope.reporting.story_words import story_figure
from retroscope.reporting.transplant_figures import transplant_figures

GRADIENT = re.compile(r'(?<=id=")gradient_\d+(?=")|(?<=url\(#)gradient_\d+(?=\))')
VEGA_LITE = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])

FIGURES: dict[str, Callable[[Findings], Figure | None]] = {
    "retrieval": retrieval_figure,
    "layer_retrieval": layer_retrieval_figure,
    "own_question": own_question_figure,
    "probes": family_figure,
    "effects": effect_figure,
    "selectivity": selectivity_figure,
    "flips": flips_figure,
}
NEURON_FIGURES: dict[str, Callable[[NeuronFindings], Figure | None]] = {
    "neuron_ablation": ablation_figure,
    "neuron_profile": profile_figure,
    "neuron_moves": move_figure,
    "neuron_maps": map_figure,
    "neuron_thresholds": activity_figure,
    "neuron_thresholds_by_layer": layer_activity_figure,
    "neuron_overlap": overlap_figure,
}


def draw(findings: Findings) -> list[Figure]:
    """Every figure that the findings can carry."""
    drawn = [figure for make in FIGURES.values() if (figure := make(findings)) is not None]
    drawn += [*baseline_figures(findings), *moved_figures(findings)]
    drawn += bare_figures(findings)
    if findings.transplants is not None:
        drawn += transplant_figures(findings.transplants)
    if findings.story is not None and (story := story_figure(findings.story)) is not None:
        drawn.append(story)
    if findings.neurons is not None:
        drawn += draw_neurons(findings.neurons)
    if findings.query_neurons is not None:
        drawn += [_of_queries(figure) for figure in draw_neurons(findings.query_neurons)]
    return drawn


def draw_neurons(findings: NeuronFindings) -> list[Figure]:
    """Every figure of neurons that the findings can carry."""
    return [figure for make in NEURON_FIGURES.values() if (figure := make(findings)) is not None]


def _of_queries(figure: Figure) -> Figure:
    return replace(figure, name=f"query_{figure.name}", title=f"{figure.title} (query tower)")


def svg(spec: dict[str, Any]) -> str:
    """The figure as SVG, always the same one; nothing may be fetched. Cells of heat maps meet without a seam."""
    drawn = str(vl_convert.vegalite_to_svg(json.dumps(spec), vl_version=VEGA_LITE, allowed_base_urls=[]))
    gradients = dict.fromkeys(GRADIENT.findall(drawn))  # numbered on from the figure drawn before
    numbers = {name: f"gradient_{i}" for i, name in enumerate(gradients)}
    drawn = GRADIENT.sub(lambda found: numbers[found[0]], drawn)
    return drawn.replace('<g class="mark-rect ', '<g shape-rendering="crispEdges" class="mark-rect ')


def write_figures(figures: Sequence[Figure], folder: Path) -> list[Path]:
    """Write every figure as SVG, PDF and Vega-Lite JSON; the folder is replaced as a whole."""
    names: list[str] = []
    with whole_folder(folder) as new:
        for figure in figures:
            spec = figure.specification
            drawn = svg(spec | {"background": "white"})
            contents = {
                ".svg": drawn.encode(),
                ".pdf": bytes(vl_convert.svg_to_pdf(drawn)),
                ".vl.json": json.dumps(spec, indent=1).encode(),
            }
            names += [write_whole(new / f"{figure.name}{end}", content).name for end, content in contents.items()]
    return [folder / name for name in names]


@cache  # a second of work, the same for every page
def script_bundle() -> str:
    """Vega, Vega-Lite and vega-embed as one script, for the page to work offline."""
    exposed = "window.vegaEmbed=vegaEmbed;"
    return str(vl_convert.javascript_bundle(exposed, VEGA_LITE))
