import json

import pytest
from retroscope.study.figures import FIGURES, draw

from retroscope.analyses.probes.figures import effect_points, probe_curves
from retroscope.analyses.retrieval.figures import query_pairs
from retroscope.typesetting.drawing import svg, write_figures
from retroscope.typesetting.palette import HALVES, LOOKS
from synthetic_findings import CONTROLS, EVIL, LAYERS, N_QUERIES, PASSAGES, PROBES, findings, model, tower


@pytest.fixture(scope="module")
def specs():
    return {figure.name: figure.specification for figure in draw(findings())}


def data(spec):
    return max(spec["datasets"].values(), key=len)


def test_every_figure_is_drawn(specs):
    assert list(specs) == list(FIGURES)


def test_figures_hold_the_right_number_of_points(specs):
    cells = len(PROBES) * len(PASSAGES) * len(LAYERS)
    assert len(data(specs["retrieval"])) == 3 * 2
    assert len(data(specs["layer_retrieval"])) == len(LAYERS) * 2
    assert len(data(specs["probes"])) == cells * len(CONTROLS) * 2 + cells  # both sides, and chance
    assert len(data(specs["own_question"])) == (cells * len(CONTROLS) * 2 + cells) // len(PROBES)
    assert len(data(specs["effects"])) == cells
    assert len(data(specs["selectivity"])) == cells * 2
    assert sum(point["queries"] for point in data(specs["flips"])) == N_QUERIES


def test_chance_is_one_over_n():
    frame = probe_curves(findings())
    chance = frame[frame["series"] == "chance"]
    assert (chance["value"] == 1 / chance["passages"]).all()
    assert set(frame["series"]) == set(LOOKS) - {HALVES}  # which is of representations


def test_only_the_probes_themselves_have_bands():
    frame = probe_curves(findings())
    assert set(frame.loc[frame["low"].notna(), "series"]) == {"before", "after"}


def test_outcomes_agree_with_the_tests():
    found = effect_points(findings())
    table = findings().probing.table.sel(control="none")
    assert int((found["outcome"] == "gain").sum()) == int(((table["p_corrected"] < 0.05) & (table["effect"] > 0)).sum())
    assert (found.loc[found["probe"] == "passage_only", "outcome"] == "equivalent").all()


def test_flips_count_gains_and_losses():
    row = findings().retrieval.table.sel(measure="RR")
    tally = query_pairs(findings()).groupby("change")["queries"].sum()
    assert tally["after ranks it higher"] == int(row["wins"])
    assert tally["before ranks it higher"] == int(row["losses"])


def test_a_selector_chooses_n_and_print_shows_the_largest(specs):
    param = next(p for p in specs["probes"]["params"] if p["name"] == "N")
    assert param["value"] == max(PASSAGES)
    assert param["bind"]["options"] == list(PASSAGES)


def test_specifications_fetch_nothing(specs):
    for spec in specs.values():
        text = json.dumps({k: v for k, v in spec.items() if k != "$schema"})
        assert "http" not in text
        assert '"url"' not in text


def test_layer_names_are_the_labels_of_the_axis(specs):
    drawn = svg(specs["layer_retrieval"])
    assert "(post-norm)" in drawn
    assert LOOKS["before"].colour in drawn
    assert LOOKS["after"].colour in drawn


def test_layer_names_cannot_leave_their_expression():
    labels = tuple(f"{k} '{EVIL}" for k in LAYERS)
    found = findings(after=model("x", towers=(tower("query", labels=labels),)))
    drawn = svg(FIGURES["layer_retrieval"](found).specification)
    assert "<script" not in drawn


def test_files_for_paper(tmp_path):
    figure = FIGURES["retrieval"](findings())
    written = write_figures([figure], tmp_path / "figures")
    assert [p.name for p in written] == ["retrieval.svg", "retrieval.pdf", "retrieval.vl.json"]
    assert written[1].read_bytes().startswith(b"%PDF")
    assert json.loads(written[2].read_text())["description"] == figure.alt
