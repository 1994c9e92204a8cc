"""A reproduction on made-up weights: the trials of one figure of neurons, and two of probes; made once."""

import pytest

from retroscope.reproduction.hub.cached import hub_at
from retroscope.reproduction.hub.made_up import made_up_hub
from retroscope.reproduction.measuring import measure_trials
from retroscope.reproduction.page import write_page, write_results
from retroscope.reproduction.places import HUB, Workplace
from retroscope.reproduction.published import PublishedStudy, published_study
from retroscope.reproduction.results import results_document
from retroscope.reproduction.trials import PUBLISHED, ModelTrial, scale_named, trials_of

PROBED = ("bert-cls", "dpr-context")


@pytest.fixture(scope="session")
def paper() -> PublishedStudy:
    return published_study("ielab-2025")


def some_trials(paper: PublishedStudy) -> list[ModelTrial]:
    """The trials of Figure 5, and two of Figure 1."""
    of_probes = trials_of(paper, [paper.figure(1)])
    probed = [one for one in of_probes if one.model in PROBED and one.protocol == PUBLISHED]
    return [*probed, *trials_of(paper, [paper.figure(5)])]


@pytest.fixture(scope="session")
def reproduced(paper: PublishedStudy, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A folder with trials, results and page."""
    out = tmp_path_factory.mktemp("reproduced")
    place = Workplace(paper, scale_named("smoke"), out, out / "vectors")
    with hub_at(made_up_hub(out / HUB, paper)):
        list(measure_trials(place, some_trials(paper), lambda *told: None))
    write_results(results_document(place), out)
    write_page(out)
    return place
