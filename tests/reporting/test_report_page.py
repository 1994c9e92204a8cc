"""The page: what it says, that it needs nothing from outside, and that no text can break out of it."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from retroscope.study.figures import draw
from retroscope.study.html import FLIPS_SHOWN, flipped_queries, render
from retroscope.study.written_report import write_report

from retroscope.study.console import summary
from retroscope.typesetting.page import json_for_script
from synthetic_findings import EVIL, findings, model, query_ids, top_passages, tower

GOLDEN = Path(__file__).parent / "golden_summary.txt"


class Page(HTMLParser):
    """Tags with their attributes, texts, and the contents of scripts."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.scripts, self.texts, self.inside = [], [], [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        (self.scripts if self.inside == "script" else self.texts).append(data)

    def named(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def html():
    return render(findings(), draw(findings()))


@pytest.fixture(scope="module")
def evil():
    found = findings(
        title=EVIL,
        before=model(EVIL, towers=(tower(EVIL, failed=True),)),
        query_texts=dict.fromkeys(query_ids(), EVIL),
        top_passages={q: top_passages() for q in query_ids()},
        caveats=(EVIL,),
        command=EVIL,
        settings={EVIL: EVIL},
        versions={EVIL: EVIL},
    )
    return render(found, draw(found))


def test_golden_fragments(html):
    for fragment in (
        '<li class="statement tone-changed">\n<span class="tone">changed</span>\n'
        "<div><p>Fine-tuning raised nDCG@10 from 0.489 to 0.580:",
        '<p class="pair"><span class="side before">before</span> toy-backbone',
        '<th scope="row">pooling</th><td><code>"mean"</code></td><td>checkpoint: 1_Pooling/config.json</td></tr>',
        '<li><span class="badge pass">pass</span> more padding changes nothing',
        "<caption>Retrieval: toy-backbone (before) and toy-retriever (after) on toy.</caption>",
        "<pre><code>retroscope compare toy-backbone toy-retriever --data beir:data/toy --out runs/toy</code></pre>",
        "<td>1 min 23 s</td>",
    ):
        assert fragment in html


def test_every_section_and_figure_is_there(html):
    page = Page(html)
    sections = [attrs["id"] for attrs in page.named("section")]
    assert sections == ["verdict", "caveats", "models", "retrieval", "layers", "probes", "queries", "method"]
    assert {a["href"] for a in page.named("a")} == {f"#{s}" for s in sections}
    charts = [attrs["data-chart"] for attrs in page.named("script") if "data-chart" in attrs]
    assert len(charts) == 7
    assert {attrs.get("id") for attrs in page.named("div")} >= set(charts)
    assert all(attrs.get("aria-label") for attrs in page.named("div") if "chart" in attrs.get("class", ""))
    assert len(page.named("table")) == html.count("<caption>")


def test_the_page_is_small_and_whole(html):
    assert len(html.encode()) < 3_000_000
    assert html.count("window.vegaEmbed=") == 1  # the library is inlined once


@pytest.mark.parametrize("which", ["html", "evil"])
def test_nothing_is_fetched_from_outside(which, request):
    page = Page(request.getfixturevalue(which))
    for tag, attrs in page.tags:
        assert not {"src", "srcset", "data", "action", "poster"} & set(attrs), (tag, attrs)
        assert attrs.get("href", "#").startswith("#")
    assert not page.named("link")


def test_no_address_is_loaded_by_any_tag(html):
    bare = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert not re.search(r"""(?:src|href)\s*=\s*["']?\s*(?:https?:)?//""", bare)
    assert "@import" not in bare
    assert "url(" not in bare


@pytest.mark.parametrize("which", ["html", "evil"])
def test_only_our_two_scripts_may_run(which, request):
    page = Page(request.getfixturevalue(which))
    running = [attrs for attrs in page.named("script") if attrs.get("type") != "application/json"]
    assert running == [{}, {}]
    policy = next(m["content"] for m in page.named("meta") if m.get("http-equiv") == "Content-Security-Policy")
    digests = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in page.scripts[-2:]]
    assert policy.startswith(f"default-src 'none'; script-src 'sha256-{digests[0]}' 'sha256-{digests[1]}';")
    assert "unsafe-eval" not in policy


def test_malicious_texts_are_only_text(evil):
    page = Page(evil)
    assert "<script>alert" not in evil
    assert not page.named("img")
    assert any(EVIL in text for text in page.texts)


def test_data_in_scripts_cannot_end_the_script():
    safe = json_for_script({"q": EVIL + "\u2028<!--"})
    assert not set("<>&\u2028") & set(safe)
    assert json.loads(safe) == {"q": EVIL + "\u2028<!--"}


def test_failures_are_marked_on_the_page(evil, html):
    assert "Read this first" in evil
    assert '<span class="badge fail">FAIL</span> more padding changes nothing' in evil
    assert '<p class="doubt">rests on the before side, which failed a self-test (see above)</p>' in evil
    assert "Read this first" not in html
    assert "badge fail" not in html


def test_flips_show_losses_beside_gains():
    shown = flipped_queries(findings())
    assert len(shown) == FLIPS_SHOWN
    assert sum(q.change < 0 for q in shown) == FLIPS_SHOWN // 2
    assert [abs(q.change) for q in shown] == sorted((abs(q.change) for q in shown), reverse=True)


def test_findings_of_retrieval_alone_make_a_page():
    found = findings(probing=None, layer_retrieval=None, seed_spread=None, query_texts={}, top_passages={}, caveats=())
    sections = [attrs["id"] for attrs in Page(render(found, draw(found))).named("section")]
    assert sections == ["verdict", "caveats", "models", "retrieval", "queries", "method"]


def test_the_report_on_disk_leaves_other_files_alone(tmp_path):
    (tmp_path / "study.zarr").touch()
    found = findings(probing=None, layer_retrieval=None, seed_spread=None)
    path = write_report(found, tmp_path)
    assert path == tmp_path / "report.html"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["figures", "report.html", "study.zarr", "tables"]
    first = path.read_bytes()
    assert write_report(found, tmp_path).read_bytes() == first  # the same findings, the same page


def test_the_summary_for_the_terminal_is_as_agreed():
    found = findings(before=model("toy-backbone", towers=(tower("query and passage", failed=True),)))
    assert summary(found) == GOLDEN.read_text("utf-8")


def test_the_summary_cannot_steer_the_terminal():
    text = summary(findings(title="a\x1b[2Jb"))
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 100
