"""The half-widths that a study reports are those of its intervals."""

import numpy as np
import pytest

from retroscope.analyses.section import Section
from retroscope.statistics import compare_scores
from retroscope.study.reporting.certainty import Certainty, certainties
from synthetic_retrieval import layer_scores, retrieval_scores


def test_the_half_width_is_that_of_the_widest_interval_of_the_headline() -> None:
    one, layers = compare_scores(*retrieval_scores()), compare_scores(*layer_scores())
    sections = {
        "retrieval": Section(differences={"a": one, "b": layers}),
        "layers": Section(differences={"b": layers}),
        "weights": Section(),
    }
    measure = str(one.table["measure"].values[0])
    known = certainties(sections, measure)
    assert list(known) == ["retrieval", "layers"]
    row = one.table.sel(measure=measure)
    assert known["retrieval"].half_width == pytest.approx(float(row["ci_high"] - row["ci_low"]) / 2)
    assert known["retrieval"].queries == int(row["n"])
    cells = layers.table.sel(measure=measure)
    assert known["layers"].half_width == pytest.approx(float(np.max(cells["ci_high"] - cells["ci_low"])) / 2)


def test_a_measure_that_is_not_there_has_no_half_width() -> None:
    sections = {"retrieval": Section(differences={"a": compare_scores(*retrieval_scores())})}
    assert certainties(sections, "P@77") == {}


def test_the_words_say_what_four_times_the_queries_would_give() -> None:
    assert Certainty(0.062, 118).words() == "0.062 with 118 queries (0.031 with 4 times as many)"
