"""Figures: one specification each, for the page (interactive) and for paper (PDF, SVG)."""

from collections.abc import Callable
from dataclasses import replace

from retroscope.analyses.baselines.figures import baseline_figures
from retroscope.analyses.layers.bare import bare_figures
from retroscope.analyses.localisation.words import story_figure
from retroscope.analyses.neurons.figures import activity_figure, layer_activity_figure, move_figure, profile_figure
from retroscope.analyses.neurons.maps import map_figure
from retroscope.analyses.neurons.proofs import ablation_figure, overlap_figure
from retroscope.analyses.neurons.result import NeuronFindings
from retroscope.analyses.probes.figures import effect_figure, family_figure, own_question_figure, selectivity_figure
from retroscope.analyses.representations.figures import moved_figures
from retroscope.analyses.retrieval.figures import flips_figure, layer_retrieval_figure, retrieval_figure
from retroscope.analyses.transplants.figures import transplant_figures
from retroscope.study.findings import Findings
from retroscope.typesetting.figure import Figure

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
