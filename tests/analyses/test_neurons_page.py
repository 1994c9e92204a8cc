"""Figures, tables, the page and the summary of neurons."""

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from retroscope.analyses.neurons.data_tables import FRAMES, LARGE_FRAMES, large_frames, neuron_frames
from retroscope.analyses.neurons.figures import FIGURES, draw_neurons, moves, neuron_figures
from retroscope.analyses.neurons.frames import LAYER_SHARE
from retroscope.analyses.neurons.report import REPORTER
from retroscope.analyses.neurons.result import AttributedModel, NeuronResult, TowerNeurons
from retroscope.analyses.neurons.stored import stored
from retroscope.analyses.neurons.tables import PAPER_TABLES, neuron_tables
from retroscope.analyses.neurons.words import neuron_statements
from retroscope.analyses.section import Reading, Section
from retroscope.study.reporting.console import console_text
from retroscope.study.reporting.report import Report, render, write_report
from retroscope.study.reporting.verdict import verdict
from retroscope.typesetting.latex import booktabs
from retroscope.typesetting.subject import Subject
from retroscope.typesetting.tables import write_frames
from synthetic_neurons import (
    BLOCKS,
    FRACTIONS,
    THRESHOLDS,
    WIDTHS,
    ablation,
    alone,
    changed,
    neuron_side,
    of_one_tower,
    overlap_rows,
    tower_neurons,
)
from synthetic_subject import EVIL, collection, model, subject, tower

GOLDEN = Path(__file__).parent / "golden_neurons.txt"
Specs = dict[str, dict[str, Any]]
OF_TWO = {"neuron_moves", "neuron_overlap"}  # figures that a retriever alone cannot have


@pytest.fixture(scope="module")
def specs() -> Specs:
    return {figure.name: figure.specification for figure in draw_neurons(tower_neurons())}


def points(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for rows in spec["datasets"].values() for row in rows] if "datasets" in spec else inline(spec)


def inline(spec: Any) -> list[dict[str, Any]]:
    """Every row inside a specification."""
    if isinstance(spec, dict):
        own = spec["values"] if isinstance(spec.get("values"), list) and spec["values"][:1] == [
            v for v in spec["values"][:1] if isinstance(v, dict)
        ] else []  # fmt: skip
        return [*own, *(row for key, value in spec.items() if key != "values" for row in inline(value))]
    return [row for value in spec for row in inline(value)] if isinstance(spec, list) else []


def test_every_figure_is_drawn_and_says_how_to_read_it(specs: Specs) -> None:
    assert list(specs) == list(FIGURES)
    figures = draw_neurons(tower_neurons())
    assert all(f.caption and f.alt and f.alt != f.caption and f.name in FIGURES for f in figures)
    assert all("nan" not in f.alt for f in figures)


def test_a_retriever_alone_has_the_figures_of_one() -> None:
    one = alone(neuron_side(ablation=ablation()))
    assert [f.name for f in draw_neurons(one)] == [name for name in FIGURES if name not in OF_TWO]


def test_figures_hold_the_right_number_of_points(specs: Specs) -> None:
    places = len(WIDTHS) * len(BLOCKS)
    assert len(points(specs["neuron_profile"])) == 4 * places * 2
    assert len(points(specs["neuron_moves"])) == 4 * places
    assert len(points(specs["neuron_thresholds"])) == len(WIDTHS) * len(THRESHOLDS) * 2
    assert len(points(specs["neuron_thresholds_by_layer"])) == places * len(THRESHOLDS) * 2
    assert len(points(specs["neuron_ablation"])) == 2 * (9 * len(FRACTIONS) + 1)
    assert len(points(specs["neuron_overlap"])) == 2 * places * 4


def test_specifications_fetch_nothing(specs: Specs) -> None:
    for spec in specs.values():
        text = json.dumps({k: v for k, v in spec.items() if k != "$schema"})
        assert "http" not in text
        assert '"url"' not in text


def test_outcomes_agree_with_the_tests() -> None:
    effects = moves(tower_neurons(), "gini")
    profile = tower_neurons().profile
    assert profile is not None
    table = profile.table.sel(statistic="gini")
    assert int((effects["outcome"] == "higher after").sum()) == int(
        ((table["p_corrected"] < 0.05) & (table["effect"] > 0)).sum()
    )
    shares = moves(tower_neurons(), LAYER_SHARE).set_index(["part", "layer"])["outcome"]
    assert shares["intermediate", 3] == "higher after"
    assert shares["output", 3] == "not significant"


def test_fractions_are_on_a_logarithmic_axis(specs: Specs) -> None:
    text = json.dumps(specs["neuron_ablation"])
    assert '"type": "log"' in text
    assert f'"values": {json.dumps(list(FRACTIONS))}' in text


def written_names(found: TowerNeurons, folder: Path) -> set[str]:
    """The names of the files with every table of one tower."""
    result = of_one_tower(found)
    written = write_frames(neuron_frames(result), neuron_tables(result), folder, large_frames(result))
    return {path.name for path in written}


def test_tables_read_back_as_they_were(tmp_path: Path) -> None:
    found = tower_neurons()
    written = written_names(found, tmp_path / "tables")
    papers = {f"{name}.tex" for name in PAPER_TABLES if name != "neuron_profile"}  # that one is of one model
    assert written == {
        *(f"{n}{e}" for n in FRAMES for e in (".parquet", ".csv")), "neurons.parquet", *papers
    }  # fmt: skip
    for name, make in (FRAMES | LARGE_FRAMES).items():
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "tables" / f"{name}.parquet"), make(found))
    for name, make in FRAMES.items():
        csv = pd.read_csv(io.StringIO((tmp_path / "tables" / f"{name}.csv").read_text("utf-8")))
        assert csv.shape == make(found).shape


def test_tables_of_a_retriever_alone(tmp_path: Path) -> None:
    written = written_names(alone(neuron_side()), tmp_path / "tables")
    tables = ("neuron_profile", "neuron_thresholds", "neuron_thresholds_by_layer", "neuron_completeness", "neuron_maps")
    assert written == {
        *(f"{n}{e}" for n in tables for e in (".parquet", ".csv")), "neurons.parquet", "neuron_profile.tex",
        "neuron_completeness.tex",
    }  # fmt: skip


@pytest.mark.parametrize("name", PAPER_TABLES)
@pytest.mark.parametrize("kind", ["two", "one"])
def test_every_paper_table_is_sound_latex_whatever_the_names(name: str, kind: str) -> None:
    side = neuron_side(EVIL, ablation=ablation())
    found = tower_neurons(after=side) if kind == "two" else alone(side)
    latex = booktabs(PAPER_TABLES[name](found), name)
    assert "\\input" not in latex
    assert len({line.count(" & ") for line in latex.splitlines() if line.endswith(r"\\")}) == 1


class Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def named(self, tag: str) -> list[dict[str, Any]]:
        return [attrs for name, attrs in self.tags if name == tag]


def pair_section(towers: Mapping[str, TowerNeurons], about: Subject) -> Section:
    """What is said of a pair: kept, inferred, reported."""
    kept = stored(
        {name: value.sides for name, value in towers.items()},
        {name: value.overlap for name, value in towers.items() if value.overlap is not None},
    )
    result = REPORTER.infer([kept], Reading(about))
    return REPORTER.report(result, Reading(about))


def pair_report(about: Subject | None = None, **towers: TowerNeurons) -> Report:
    about = about or subject()
    return Report(about, {"neurons": pair_section(towers or {"passage": tower_neurons()}, about)})


def one_subject(**changes: Any) -> Subject:
    given = {
        "title": "neurons of toy-retriever",
        "models": {"model": model("toy-retriever")},
        "collections": (collection(),),
        "caveats": ("Hard negatives come from BM25: they share words with the query.",),
        "command": "retroscope neurons toy-retriever --data beir:data/toy --out runs/toy",
    }
    return replace(subject(), **(given | changes))


def one_report(side: AttributedModel | None = None, **changes: Any) -> Report:
    about = one_subject(**changes)
    kept = stored({"passage": {"model": side or neuron_side(planted=20.0, ablation=ablation())}}, {})
    assert REPORTER.alone is not None
    return Report(about, {"neurons": REPORTER.alone(kept, Reading(about))})


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """name -> html: a comparison with neurons of both towers, a report of one model, and one with hostile names."""
    side = neuron_side(EVIL, warnings=(EVIL,))
    hostile = one_report(
        changed(side, recipe={**side.recipe, EVIL: EVIL}),
        title=EVIL, collections=(), caveats=(EVIL,), command=EVIL, settings={EVIL: EVIL},
        models={"model": model(EVIL, towers=(tower(EVIL, failed=True),))},
    )  # fmt: skip
    return {
        "two": render(pair_report(passage=tower_neurons(), query=tower_neurons())),
        "one": render(one_report()),
        "evil": render(hostile),
    }


def charts_of(page: Page) -> set[str]:
    return {attrs["data-figure"] for attrs in page.named("div") if "data-figure" in attrs}


def test_the_comparison_has_a_section_on_neurons_of_both_towers(pages: dict[str, str]) -> None:
    page = Page(pages["two"])
    assert [attrs["id"] for attrs in page.named("section")] == ["verdict", "neurons", "method"]
    assert charts_of(page) == {f"{prefix}{name}" for prefix in ("", "query_") for name in FIGURES}
    assert ">Passage tower</h3>" in pages["two"]
    assert ">Query tower</h3>" in pages["two"]


def test_the_report_of_one_model_is_whole(pages: dict[str, str]) -> None:
    page = Page(pages["one"])
    assert [a["id"] for a in page.named("section")] == ["verdict", "neurons", "method"]
    assert charts_of(page) == {name for name in FIGURES if name not in OF_TWO}
    assert len(page.named("table")) == pages["one"].count("<caption>")
    for fragment in (
        '<li class="statement state-significant">\n<span class="state">significant</span>\n'
        "<div><p>Retrieval needs the top neurons (those with the largest attribution) of",
        "<caption>Retrieval with neurons fixed at one value: toy-retriever.</caption>",
        '<th scope="row">target</th><td>margin</td>',
    ):
        assert fragment in pages["one"]


@pytest.mark.parametrize("which", ["two", "one", "evil"])
def test_pages_fetch_nothing_and_no_text_breaks_out(pages: dict[str, str], which: str) -> None:
    page = Page(pages[which])
    for tag, attrs in page.tags:
        assert not {"src", "srcset", "data", "action", "poster"} & set(attrs), (tag, attrs)
        assert attrs.get("href", "#").startswith("#")
    assert not page.named("link")
    assert not page.named("img")
    assert "<script>alert" not in pages[which]
    assert [a for a in page.named("script") if a.get("type") != "application/octet-stream"] == [{}, {}]
    assert len(pages[which].encode()) < 3_000_000


def test_doubts_lead_on_the_page(pages: dict[str, str]) -> None:
    assert "failed a self-test (see above)</p>" in pages["evil"]
    assert (
        "No ablation was run. Without an ablation, there is no evidence that retrieval needs these neurons."
        in pages["evil"]
    )
    assert "Read this first" not in pages["one"]


def test_the_report_on_disk_is_the_same_for_the_same_findings(tmp_path: Path) -> None:
    path = write_report(one_report(), tmp_path)
    (tmp_path / "kept.zarr").touch()
    first = path.read_bytes()
    assert write_report(one_report(), tmp_path).read_bytes() == first
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["figures", "kept.zarr", "report.html", "summary.json", "tables"]
    assert (tmp_path / "figures" / "neuron_maps.pdf").read_bytes().startswith(b"%PDF")


def test_a_recipe_in_another_order_makes_the_same_page() -> None:
    side = neuron_side()
    turned = changed(side, recipe=dict(reversed([*side.recipe.items()])))
    one, two = (render(one_report(s)) for s in (side, turned))
    assert one == two


def test_the_published_layout_reaches_page_and_folder(tmp_path: Path) -> None:
    side = neuron_side()
    recipe = {**side.recipe, "recipe": {"pooling": "cls"}, "model": "toy", "thresholds": list(THRESHOLDS)}
    report = one_report(changed(side, recipe=recipe), protocol="ielab-2025")
    page = write_report(report, tmp_path)
    assert "layout of arXiv 2505.07166" in page.read_text("utf-8")
    counts = json.loads((tmp_path / "neurons-0.1.json").read_text("utf-8"))
    assert (counts["model"], counts["encoder_type"], counts["alpha"], counts["threshold"]) == ("toy", "CLS", 20, 0.1)
    expected = side.attribution.neurons["output"]["count"].sel(threshold=0.1, layer=2).values.tolist()
    assert counts["attributions"]["layer_1_output"] == expected


def test_nothing_but_noise_makes_a_page_that_says_so() -> None:
    silent = neuron_side(noise=60)
    assert "NEURONS ARE NOISE of toy-retriever: in 60 of 60 examples" in render(one_report(silent))
    noisy = tower_neurons(after=silent, overlap=overlap_rows().assign(after_halves=float("nan")))
    assert "NEURONS ARE NOISE of the model after fine-tuning" in render(pair_report(passage=noisy))


def test_the_verdict_carries_what_is_confirmed_and_counts_the_rest() -> None:
    report = pair_report()
    section = report.sections["neurons"]
    measurement = stored({"passage": tower_neurons().sides}, {"passage": overlap_rows()})
    statements = neuron_statements(REPORTER.infer([measurement], Reading(subject())).main)
    assert [s.text for s in section.unconfirmed] == [s.text for s in statements if s.doubts]
    assert [s.text for s in section.statements] == [s.text for s in statements if not s.doubts]
    noisy = pair_report(passage=tower_neurons(after=neuron_side(noise=40)))
    assert noisy.verdict.alarms[0].text.startswith("NEURONS ARE NOISE of the model after fine-tuning")
    assert any("statements about neurons are left out here" in s.text for s in noisy.verdict.statements)


def test_a_failed_self_test_marks_the_neurons_of_its_side() -> None:
    about = subject()
    failed = model("b", towers=(tower("query and passage", failed=True),))
    about = replace(about, models={**about.models, "before": failed})
    conclusions = verdict({"neurons": pair_section({"passage": tower_neurons()}, about)}, about)
    neurons = {
        s.rests_on: s.doubts for s in (*conclusions.statements, *conclusions.unconfirmed) if s.topic == "neurons"
    }
    mark = "depends on the model before fine-tuning, which failed a self-test (see above)"
    assert mark in neurons["before", "after"]
    assert mark in neurons[("before",)]
    assert mark not in neurons[("after",)]


def test_the_summary_for_the_terminal_is_as_agreed() -> None:
    noisy = one_report(neuron_side(planted=20.0, noise=31, ablation=ablation()))
    assert console_text(noisy) == GOLDEN.read_text("utf-8")


def test_the_summary_cannot_steer_the_terminal() -> None:
    text = console_text(one_report(title="a\x1b[2Jb"))
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 100
    assert max(map(len, console_text(pair_report()).splitlines())) <= 100


def test_figures_of_the_second_tower_carry_its_name() -> None:
    both = {name: replace(tower_neurons(), label=name) for name in ("passage", "query")}
    drawn = neuron_figures(NeuronResult(both))
    assert [figure.name for figure in drawn[len(FIGURES) :]] == [f"query_{name}" for name in FIGURES]
    assert all(figure.title.endswith(" (query tower)") for figure in drawn[len(FIGURES) :])
