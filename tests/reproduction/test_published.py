"""The published study as data: every number is there, and is the paper's."""

import csv
from pathlib import Path

import pytest

from retroscope.errors import SettingsError
from retroscope.reproduction.exhibits import MEASURES, exhibits_of
from retroscope.reproduction.points import reported_choices
from retroscope.reproduction.published import PublishedStudy, data_text, published_study


def test_all_points_are_there(paper: PublishedStudy) -> None:
    assert len(paper.points) == 1152
    assert [len(paper.points_of(figure)) for figure in paper.figures] == [208, 368, 208, 368, 0, 0, 0, 0]
    keys = {(one.data, one.model, one.passages, one.layer) for one in paper.points}
    assert len(keys) == 1152


def test_a_figure_has_every_layer_of_its_models(paper: PublishedStudy) -> None:
    for figure in paper.figures[:4]:
        for name in figure.models:
            layers = {one.layer for one in paper.points_of(figure) if one.model == name}
            assert layers == set(range(paper.models[name].blocks + 1))


@pytest.mark.shared
def test_the_packaged_numbers_are_the_published_ones(shared: Path) -> None:
    assert data_text("ielab-2025", "probe_curves.csv") == (shared / "paper" / "probe_curves.csv").read_text("utf-8")


def test_points_are_those_of_the_packaged_file(paper: PublishedStudy) -> None:
    rows = list(csv.DictReader(data_text("ielab-2025", "probe_curves.csv").splitlines()))
    read = [(float(r["accuracy"]), int(r["layer"]), int(r["n_passages"]), r["sig_star"] == "1") for r in rows]
    assert [(p.accuracy, p.layer, p.passages, p.star) for p in paper.points] == read


def test_the_stars_imply_a_number_of_choices(paper: PublishedStudy) -> None:
    """Every star needs at least `low` choices and every missing one at most `high`: the paper agrees with itself."""
    for data in paper.data:
        bracket = reported_choices(paper, data)
        assert 1000 < bracket.low < bracket.high < 100_000
    assert reported_choices(paper, "nq").low > reported_choices(paper, "msmarco").high


def test_one_wrong_star_contradicts_the_others(paper: PublishedStudy) -> None:
    """The bracket can fail: with a star at a tiny difference no number of choices agrees with all."""
    from dataclasses import replace

    points = [replace(one, star=True) if (one.model, one.data) == ("dpr-question", "nq") else one
              for one in paper.points]  # fmt: skip
    bracket = reported_choices(replace(paper, points=tuple(points)), "nq")
    assert bracket.low > bracket.high


def test_claims_and_exhibits_name_what_exists(paper: PublishedStudy) -> None:
    for claim in paper.claims:
        assert claim.model in paper.figure(claim.figure).models
        assert paper.models[claim.model].backbone in paper.figure(claim.figure).models
        assert (claim.part != "") == (claim.statistic == "active_share")
    exhibits = exhibits_of("ielab-2025")
    assert {one.measure for one in exhibits} == set(MEASURES)
    assert len({one.name for one in exhibits}) == len(exhibits)


def test_what_does_not_exist_is_an_error(paper: PublishedStudy) -> None:
    with pytest.raises(SettingsError, match=r"unknown published study 'ielab-2024'(.|\n)*did you mean 'ielab-2025'"):
        published_study("ielab-2024")
    with pytest.raises(SettingsError, match=r"this study has no figure 9(.|\n)*choose from 1 to 8"):
        paper.figure(9)
