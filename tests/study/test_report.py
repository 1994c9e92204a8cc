"""The page: what it says, that it needs nothing from outside, and that no text can break out of it."""

import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from retroscope.files.documents import packed_json
from retroscope.statistics import Difference
from retroscope.study.reporting.console import console_text
from retroscope.study.reporting.report import render, write_report
from retroscope.typesetting.charts.drawing import svg, write_figures
from retroscope.typesetting.charts.palette import LOOKS
from retroscope.typesetting.subject import Subject
from synthetic_probes import accuracy, probe_scores, probes_result
from synthetic_report import report_of
from synthetic_retrieval import rankings, retrieval_result, retrieval_scores
from synthetic_subject import EVIL, compare, model, query_ids, subject, tower
from synthetic_subject import LAYERS as LAYERS_OF

GOLDEN = Path(__file__).parent / "golden_summary.txt"


def failing() -> Subject:
    broken = model("toy-backbone", towers=(tower("query and passage", failed=True),))
    return subject(models={"before": broken, "after": model("toy-retriever")})


class Page(HTMLParser):
    """Tags with their attributes, texts, and the contents of scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.scripts: list[str] = []
        self.texts: list[str] = []
        self.inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        (self.scripts if self.inside == "script" else self.texts).append(data)

    def named(self, tag: str) -> list[dict[str, Any]]:
        return [attrs for name, attrs in self.tags if name == tag]


def unpack(page: Page, name: str) -> str:
    """Return a text that is packed in a page."""
    places = [n for n, attrs in enumerate(page.named("script")) if attrs.get("id") == f"packed-{name}"]
    return gzip.decompress(base64.b64decode(page.scripts[places[0]])).decode()


def unpacked(page: Page, name: str) -> Any:
    return json.loads(unpack(page, name))


@pytest.fixture(scope="module")
def html() -> str:
    return render(report_of())


@pytest.fixture(scope="module")
def evil() -> str:
    about = subject(
        title=EVIL,
        models={"before": model(EVIL, towers=(tower(EVIL, failed=True),)), "after": model("toy-retriever")},
        caveats=(EVIL,),
        command=EVIL,
        settings={EVIL: EVIL},
        versions={EVIL: EVIL},
    )
    return render(report_of(about, retrieval=retrieval_result(rankings=rankings(EVIL, EVIL))))


def test_golden_fragments(html: str) -> None:
    for fragment in (
        '<li class="statement state-significant">\n<span class="state">significant</span>\n'
        "<div><p>Fine-tuning raised nDCG@10 from 0.489 to 0.580:",
        '<span class="side before">before</span> toy-backbone',
        '<th scope="row">pooling</th><td><code>"mean"</code></td><td>checkpoint: 1_Pooling/config.json</td></tr>',
        '<li><span class="badge pass">pass</span> more padding changes nothing',
        "<caption>Retrieval: toy-backbone (before) and toy-retriever (after) on toy.</caption>",
        "retroscope compare toy-backbone toy-retriever --data beir:data/toy --out runs/toy</code></pre>",
        "<td>1 min 23 s</td>",
    ):
        assert fragment in html


def test_every_section_and_figure_is_there(html: str) -> None:
    page = Page(html)
    sections = [attrs["id"] for attrs in page.named("section")]
    assert sections == ["answer", "verdict", "health", "retrieval", "layers", "probes", "queries", "method"]
    links, places = {a["href"] for a in page.named("a")}, {f"#{attrs['id']}" for _, attrs in page.tags if "id" in attrs}
    assert {f"#{one}" for one in sections} <= links <= places
    charts = [attrs["data-figure"] for attrs in page.named("div") if "data-figure" in attrs]
    assert set(charts) == set(unpacked(page, "figures"))
    assert len(charts) == 8
    assert {f"figure-{name}" for name in charts} <= {attrs.get("id") for attrs in page.named("figure")}
    assert all(attrs.get("aria-label") for attrs in page.named("div") if "chart" in attrs.get("class", ""))
    assert len(page.named("table")) == html.count("<caption>")


def test_the_page_is_small_and_whole(html: str) -> None:
    assert len(html.encode()) < 3_000_000
    assert unpack(Page(html), "library").count("window.vegaEmbed=") == 1


@pytest.mark.parametrize("which", ["html", "evil"])
def test_nothing_is_fetched_from_outside(which: str, request: pytest.FixtureRequest) -> None:
    page = Page(request.getfixturevalue(which))
    for tag, attrs in page.tags:
        assert not {"src", "srcset", "data", "action", "poster"} & set(attrs), (tag, attrs)
        assert attrs.get("href", "#").startswith("#")
    assert not page.named("link")


def test_no_address_is_loaded_by_any_tag(html: str) -> None:
    bare = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert not re.search(r"""(?:src|href)\s*=\s*["']?\s*(?:https?:)?//""", bare)
    assert "@import" not in bare
    assert "url(" not in bare


@pytest.mark.parametrize("which", ["html", "evil"])
def test_only_our_two_scripts_may_run(which: str, request: pytest.FixtureRequest) -> None:
    page = Page(request.getfixturevalue(which))
    running = [attrs for attrs in page.named("script") if attrs.get("type") != "application/octet-stream"]
    assert running == [{}, {}]
    policy = next(m["content"] for m in page.named("meta") if m.get("http-equiv") == "Content-Security-Policy")
    scripts = [unpack(page, "library"), *page.scripts[-2:]]
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    assert policy.startswith(f"default-src 'none'; script-src {allowed};")
    assert "unsafe" not in policy


def test_malicious_texts_are_only_text(evil: str) -> None:
    page = Page(evil)
    assert "<script>alert" not in evil
    assert not page.named("img")
    assert any(EVIL in text for text in page.texts)


def test_packed_data_cannot_end_its_element_and_is_the_same_each_time() -> None:
    value = {"q": EVIL + "\u2028<!--"}
    packed = packed_json(value)
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", packed)
    assert json.loads(gzip.decompress(base64.b64decode(packed))) == value
    assert packed_json(value) == packed


def test_every_query_is_on_the_page_with_both_rankings(html: str) -> None:
    (queries,) = unpacked(Page(html), "queries")
    assert queries["ids"] == query_ids()
    stored = rankings().queries
    assert queries["ranks"] == {side: stored[f"rank_{side}"].tolist() for side in ("before", "after")}
    assert queries["listed"] == len(query_ids())
    assert [queries["passages"]["ids"][hit] for hit in queries["hits"]["before"][3]] == ["p2", "p1"]
    assert [queries["passages"]["ids"][hit] for hit in queries["relevant"][3]] == ["p1"]


def test_failures_are_marked_on_the_page(evil: str, html: str) -> None:
    assert "Read this first" in evil
    assert '<span class="badge fail">FAIL</span> more padding changes nothing' in evil
    assert '<p class="doubt">depends on the model before fine-tuning, which failed a self-test (see above)</p>' in evil
    assert "Read this first" not in html
    assert "badge fail" not in html


def test_retrieval_alone_makes_a_page() -> None:
    bare = retrieval_result(rankings=None)
    report = report_of(subject(caveats=()), retrieval=bare, layers=None, probes=None)
    sections = [attrs["id"] for attrs in Page(render(report)).named("section")]
    assert sections == ["answer", "verdict", "health", "retrieval", "method"]


def test_code_lengths_alone_make_a_page() -> None:
    page = render(report_of(probes=replace(probes_result(), effect=None, seed_spread=None)))
    assert "Only code lengths were measured" in page


def test_layers_without_the_final_norm_are_on_the_page(html: str) -> None:
    bare = render(report_of(probes=replace(probes_result(), bare=probes_result().effect)))
    assert "<summary>Layers without the final norm</summary>" in bare
    assert "<summary>Layers without the final norm</summary>" not in html


def test_the_report_on_disk_leaves_other_files_alone(tmp_path: Path) -> None:
    (tmp_path / "study.zarr").touch()
    report = report_of(layers=None, probes=None)
    path = write_report(report, tmp_path)
    assert path == tmp_path / "report.html"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "figures", "report.html", "study.zarr", "summary.json", "tables",
    ]  # fmt: skip
    first = path.read_bytes()
    assert write_report(report, tmp_path).read_bytes() == first  # the same findings, the same page
    written = {p.stem for p in (tmp_path / "tables").iterdir()} - {".retroscope"}
    assert written == {"retrieval", "flips", "self_tests", "verdict"}


def test_the_summary_for_the_terminal_is_as_agreed() -> None:
    assert console_text(report_of(failing()), everything=True) == GOLDEN.read_text("utf-8")


def test_the_summary_cannot_steer_the_terminal() -> None:
    text = console_text(report_of(subject(title="a\x1b[2Jb")))
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 100


def test_failed_self_tests_mark_what_rests_on_them() -> None:
    report = report_of(failing()).verdict
    assert report.alarms[0].text.startswith("SELF-TEST FAILED for the model before fine-tuning (toy-backbone)")
    assert "more padding changes nothing" in report.alarms[0].text
    mark = "depends on the model before fine-tuning, which failed a self-test (see above)"
    assert report.headline is not None
    assert report.headline.doubts == (mark,)
    both = [s for s in report.statements if s.rests_on == ("before", "after")]
    assert both
    assert all(mark in s.doubts for s in both)
    random = next(s for s in report.statements if "more accurate with toy-retriever than with the same" in s.text)
    assert random.doubts == ()  # it rests on the after side only


def marked(warning: str) -> Difference:
    before, after = retrieval_scores()
    return compare(replace(before, warnings=(warning,)), after)


def test_warnings_of_the_scores_are_alarms() -> None:
    report = report_of(retrieval=retrieval_result(effect=marked("2 weights were missing")))
    assert report.verdict.alarms[0].text == "Warning (retrieval, before fine-tuning): 2 weights were missing"


def test_the_headline_rests_on_no_control_of_the_probes() -> None:
    def shuffled(probe: str, control: str, n: int, layer: int, side: str) -> float:
        return 0.75 if control == "shuffled_queries" and layer == 3 else accuracy(probe, control, n, layer, side)

    report = report_of(probes=probes_result(effect=compare(*probe_scores(accuracy=shuffled)))).verdict
    assert report.everything()[0].text.startswith("CONTROL FAILED (shuffled queries)")
    assert report.headline is not None
    assert report.headline.doubts == ()


def test_layer_names_are_the_labels_of_the_axis_and_cannot_leave_their_expression() -> None:
    drawn = {figure.name: svg(figure.specification) for figure in report_of().figures}
    assert "(post-norm)" in drawn["layer_retrieval"]
    assert LOOKS["before"].colour in drawn["layer_retrieval"]
    assert LOOKS["after"].colour in drawn["layer_retrieval"]
    labels = tuple(f"{k} '{EVIL}" for k in LAYERS_OF)
    evil = subject(models={"before": model("b"), "after": model("x", towers=(tower("query", labels=labels),))})
    figure = next(one for one in report_of(evil).figures if one.name == "layer_retrieval")
    assert "<script" not in svg(figure.specification)


def test_specifications_fetch_nothing() -> None:
    for figure in report_of().figures:
        text = json.dumps({k: v for k, v in figure.specification.items() if k != "$schema"})
        assert "http" not in text
        assert '"url"' not in text


def test_files_for_paper(tmp_path: Path) -> None:
    figure = next(one for one in report_of().figures if one.name == "retrieval")
    written = write_figures([figure], tmp_path / "figures")
    assert [p.name for p in written] == ["retrieval.svg", "retrieval.pdf", "retrieval.vl.json"]
    assert written[1].read_bytes().startswith(b"%PDF")
    assert json.loads(written[2].read_text())["description"] == figure.alt
