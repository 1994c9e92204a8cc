"""Reproduce figures of a published study: measure what is not yet measured, store the results, write the page."""

from collections.abc import Sequence
from pathlib import Path

from retroscope.progress import Progress
from retroscope.reproduction.hub.cached import hub_at
from retroscope.reproduction.hub.made_up import made_up_hub
from retroscope.reproduction.measuring import measure_trials
from retroscope.reproduction.page import write_page, write_results
from retroscope.reproduction.places import HUB, Workplace
from retroscope.reproduction.published import PublishedFigure
from retroscope.reproduction.results import results_document
from retroscope.reproduction.trials import SMOKE, trials_of


def reproduce(place: Workplace, figures: Sequence[PublishedFigure], progress: Progress) -> Path:
    """Reproduce figures of a published study, and return the path of the page.

    A stopped run resumes with the same call.

    Args:
        place: the study, how much of it is measured, and the folders.
        figures: figures to measure. The stored results also include figures that were measured in this folder before.
        progress: called with (what is measured, steps done, steps in all).
    """
    study, out = place.study, place.out
    hub = made_up_hub(out / HUB, study) if place.scale.name == SMOKE else None
    trials = trials_of(study, figures)
    with hub_at(hub):
        for n_done, trial in enumerate(measure_trials(place, trials, progress), start=1):
            progress(f"trials ({trial.name})", n_done, len(trials))
    write_results(results_document(place), out)
    return write_page(out, figures)
