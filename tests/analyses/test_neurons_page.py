"""Figures, tables, the page and the summary of neurons."""

import io
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from retroscope.study.figures import FIGURES, NEURON_FIGURES, draw, draw_neurons
from retroscope.study.html import render
from retroscope.study.tables import write_neuron_tables
from retroscope.study.written_report import write_report

from retroscope.analyses.neurons.figures import moves
from retroscope.analyses.neurons.frames import LAYER_SHARE
from retroscope.analyses.neurons.report import write_neuron_report
from retroscope.analyses.neurons.result import PUBLISHED, NeuronFindings
from retroscope.analyses.neurons.tables import LARGE_NEURON_TABLES, NEURON_PAPER_TABLES, NEURON_TABLES
from retroscope.errors import AnalysisError
from retroscope.study.console import neuron_summary, summary
from retroscope.typesetting.latex import booktabs
from synthetic_findings import (
    BLOCKS,
    EVIL,
    FRACTIONS,
    THRESHOLDS,
    WIDTHS,
    ablation,
    findings,
    model,
    neuron_findings,
    neuron_report,
    neuron_side,
    overlap_rows,
    tower,
)

GOLDEN = Path(__file__).parent / "golden_neurons.txt"
OF_TWO = {"neuron_moves", "neuron_overlap"}  # figures that a retriever alone cannot have


@pytest.fixture(scope="module")
def specs():
    return {figure.name: figure.specification for figure in draw_neurons(neuron_findings())}


def points(spec):
    return [row for rows in spec["datasets"].values() for row in rows] if "datasets" in spec else inline(spec)


def inline(spec):
    """Every row inside a specification."""
    if isinstance(spec, dict):
        own = spec["values"] if isinstance(spec.get("values"), list) and spec["values"][:1] == [
            v for v in spec["values"][:1] if isinstance(v, dict)
        ] else []  # fmt: skip
        return [*own, *(row for key, value in spec.items() if key != "values" for row in inline(value))]
    return [row for value in spec for row in inline(value)] if isinstance(spec, list) else []


def test_every_figure_is_drawn_and_says_how_to_read_it(specs):
    assert list(specs) == list(NEURON_FIGURES)
    figures = draw_neurons(neuron_findings())
    assert all(f.caption and f.alt and f.alt != f.caption and f.name in NEURON_FIGURES for f in figures)
    assert all("nan" not in f.alt for f in figures)


def test_a_retriever_alone_has_the_figures_of_one():
    alone = NeuronFindings({"model": neuron_side(ablation=ablation())})
    assert [f.name for f in draw_neurons(alone)] == [name for name in NEURON_FIGURES if name not in OF_TWO]


def test_figures_hold_the_right_number_of_points(specs):
    places = len(WIDTHS) * len(BLOCKS)
    assert len(points(specs["neuron_profile"])) == 4 * places * 2
    assert len(points(specs["neuron_moves"])) == 4 * places
    assert len(points(specs["neuron_thresholds"])) == len(WIDTHS) * len(THRESHOLDS) * 2
    assert len(points(specs["neuron_thresholds_by_layer"])) == places * len(THRESHOLDS) * 2
    assert len(points(specs["neuron_ablation"])) == 2 * (9 * len(FRACTIONS) + 1)
    assert len(points(specs["neuron_overlap"])) == 2 * places * 4


def test_specifications_fetch_nothing(specs):
    for spec in specs.values():
        text = json.dumps({k: v for k, v in spec.items() if k != "$schema"})
        assert "http" not in text
        assert '"url"' not in text


def test_outcomes_agree_with_the_tests():
    found = moves(neuron_findings(), "gini")
    table = neuron_findings().profile.table.sel(statistic="gini")
    assert int((found["outcome"] == "higher after").sum()) == int(
        ((table["p_corrected"] < 0.05) & (table["effect"] > 0)).sum()
    )
    shares = moves(neuron_findings(), LAYER_SHARE).set_index(["part", "layer"])["outcome"]
    assert shares["intermediate", 3] == "higher after"
    assert shares["output", 3] == "no evidence"


def test_fractions_are_on_a_logarithmic_axis(specs):
    text = json.dumps(specs["neuron_ablation"])
    assert '"type": "log"' in text
    assert f'"values": {json.dumps(list(FRACTIONS))}' in text


def test_tables_read_back_as_they_were(tmp_path):
    found = neuron_findings()
    written = {path.name for path in write_neuron_tables(found, tmp_path / "tables")}
    papers = {f"{name}.tex" for name in NEURON_PAPER_TABLES if name != "neuron_profile"}  # that one is of one model
    assert written == {
        *(f"{n}{e}" for n in NEURON_TABLES for e in (".parquet", ".csv")), "neurons.parquet", *papers
    }  # fmt: skip
    for name, make in (NEURON_TABLES | LARGE_NEURON_TABLES).items():
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "tables" / f"{name}.parquet"), make(found))
    for name, make in NEURON_TABLES.items():
        csv = pd.read_csv(io.StringIO((tmp_path / "tables" / f"{name}.csv").read_text("utf-8")))
        assert csv.shape == make(found).shape


def test_tables_of_a_retriever_alone(tmp_path):
    written = {p.name for p in write_neuron_tables(NeuronFindings({"model": neuron_side()}), tmp_path / "tables")}
    tables = ("neuron_profile", "neuron_thresholds", "neuron_thresholds_by_layer", "neuron_completeness", "neuron_maps")
    assert written == {
        *(f"{n}{e}" for n in tables for e in (".parquet", ".csv")), "neurons.parquet", "neuron_profile.tex",
        "neuron_completeness.tex",
    }  # fmt: skip


@pytest.mark.parametrize("name", NEURON_PAPER_TABLES)
@pytest.mark.parametrize("kind", ["two", "one"])
def test_every_paper_table_is_sound_latex_whatever_the_names(name, kind):
    side = neuron_side(EVIL, ablation=ablation())
    found = neuron_findings(after=side) if kind == "two" else NeuronFindings({"model": side})
    latex = booktabs(NEURON_PAPER_TABLES[name](found), name)
    assert "\\input" not in latex
    assert len({line.count(" & ") for line in latex.splitlines() if line.endswith(r"\\")}) == 1


class Page(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tags = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def named(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """name -> html: a comparison with neurons, a report of one model, and one with hostile names."""
    folder = tmp_path_factory.mktemp("pages")
    side = neuron_side(EVIL, warnings=(EVIL,))
    hostile = neuron_report(
        replace(side, recipe={**side.recipe, EVIL: EVIL}),
        title=EVIL, source=EVIL, collection=None, caveats=(EVIL,), command=EVIL, settings={EVIL: EVIL},
        model=model(EVIL, towers=(tower(EVIL, failed=True),)),
    )  # fmt: skip
    found = findings(neurons=neuron_findings())
    return {
        "two": render(found, draw(found)),
        "one": write_neuron_report(neuron_report(), folder / "one").read_text("utf-8"),
        "evil": write_neuron_report(hostile, folder / "evil").read_text("utf-8"),
    }


def test_the_comparison_has_a_section_on_neurons_after_the_probes(pages):
    page = Page(pages["two"])
    sections = [attrs["id"] for attrs in page.named("section")]
    assert sections[5:7] == ["probes", "neurons"]
    assert {a["href"] for a in page.named("a")} == {f"#{s}" for s in sections}
    charts = [attrs["data-chart"] for attrs in page.named("script") if "data-chart" in attrs]
    assert set(charts) == {f"chart-{name}" for name in (*FIGURES, *NEURON_FIGURES)}


def test_the_report_of_one_model_is_whole(pages):
    page = Page(pages["one"])
    assert [a["id"] for a in page.named("section")] == ["verdict", "caveats", "models", "neurons", "method"]
    charts = {attrs["data-chart"] for attrs in page.named("script") if "data-chart" in attrs}
    assert charts == {f"chart-{name}" for name in NEURON_FIGURES if name not in OF_TWO}
    assert charts <= {attrs.get("id") for attrs in page.named("div")}
    assert len(page.named("table")) == pages["one"].count("<caption>")
    for fragment in (
        '<li class="statement tone-shown">\n<span class="tone">shown</span>\n<div><p>Ablation confirms the neurons of',
        "<caption>Retrieval with neurons held at one value: toy-retriever.</caption>",
        '<th scope="row">target</th><td>margin</td>',
    ):
        assert fragment in pages["one"]


@pytest.mark.parametrize("which", ["two", "one", "evil"])
def test_pages_fetch_nothing_and_no_text_breaks_out(pages, which):
    page = Page(pages[which])
    for tag, attrs in page.tags:
        assert not {"src", "srcset", "data", "action", "poster"} & set(attrs), (tag, attrs)
        assert attrs.get("href", "#").startswith("#")
    assert not page.named("link")
    assert not page.named("img")
    assert "<script>alert" not in pages[which]
    assert [a for a in page.named("script") if a.get("type") != "application/json"] == [{}, {}]
    assert len(pages[which].encode()) < 3_000_000


def test_doubts_and_alarms_lead_on_the_page(pages):
    assert "Read this first" in pages["evil"]
    assert "SELF-TEST FAILED" in pages["evil"]
    assert '<p class="doubt">rests on a model that failed a self-test (see above)</p>' in pages["evil"]
    assert "No ablation was run. A count without an ablation is not evidence." in pages["evil"]
    assert "Read this first" not in pages["one"]


def test_the_report_on_disk_is_the_same_for_the_same_findings(tmp_path):
    path = write_neuron_report(neuron_report(), tmp_path)
    (tmp_path / "neurons.zarr").touch()
    first = path.read_bytes()
    assert write_neuron_report(neuron_report(), tmp_path).read_bytes() == first
    assert sorted(p.name for p in tmp_path.iterdir()) == ["figures", "neurons.zarr", "report.html", "tables"]
    assert (tmp_path / "figures" / "neuron_maps.pdf").read_bytes().startswith(b"%PDF")


def test_a_recipe_in_another_order_makes_the_same_page(tmp_path):
    side = neuron_side()
    turned = replace(side, recipe=dict(reversed(side.recipe.items())))
    one, two = (write_neuron_report(neuron_report(s), tmp_path / n) for n, s in (("a", side), ("b", turned)))
    assert one.read_bytes() == two.read_bytes()


def test_the_published_layout_reaches_the_page(tmp_path):
    report = neuron_report(neurons=NeuronFindings({"model": neuron_side()}, heat_map=PUBLISHED))
    assert "layout of arXiv 2505.07166" in write_neuron_report(report, tmp_path).read_text("utf-8")


def test_nothing_but_noise_makes_a_page_that_says_so(tmp_path):
    silent = neuron_side(noise=60)
    page = write_neuron_report(neuron_report(silent), tmp_path).read_text("utf-8")
    assert "NEURONS ARE NOISE of toy-retriever: in 60 of 60 units" in page
    noisy = neuron_findings(after=silent, overlap=overlap_rows().assign(after_halves=float("nan")))
    found = findings(neurons=noisy, probing=None, seed_spread=None)
    assert "NEURONS ARE NOISE of the after side" in write_report(found, tmp_path / "two").read_text("utf-8")


def test_the_summary_for_the_terminal_is_as_agreed():
    assert neuron_summary(neuron_report(neuron_side(planted=20.0, noise=31, ablation=ablation()))) == GOLDEN.read_text(
        "utf-8"
    )


def test_the_summary_cannot_steer_the_terminal():
    text = neuron_summary(neuron_report(title="a\x1b[2Jb"))
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 100
    assert max(map(len, summary(findings(neurons=neuron_findings())).splitlines())) <= 100


def test_a_report_of_one_model_has_one_side():
    with pytest.raises(AnalysisError, match=r"a report of one retriever with the neurons of \['before', 'after'\]"):
        neuron_report(neurons=neuron_findings())
