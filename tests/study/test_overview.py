"""Several studies on one page: what may be compared stands together, what may not stands apart."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retroscope.collection.collection import Collection, make_collection
from retroscope.encoders.encoder import Retriever
from retroscope.errors import AnalysisError, SettingsError
from retroscope.inputs.settings import StudySettings
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.settings import ComparisonSettings
from retroscope.study.overview.comparable import OWN
from retroscope.study.overview.figures import effects_figure
from retroscope.study.overview.members import distinct, members_of
from retroscope.study.overview.page import overview_of, read_overview, render_overview, write_overview
from retroscope.study.planning.plan import plan_study
from retroscope.study.run import compare, run_study
from retroscope.study.several.compare_all import compare_all
from retroscope.study.several.study_set import StudySet
from retroscope.study.study import Study
from synthetic_subject import EVIL
from tiny_study import Tiny, further_trainings

LEFT_OUT = dict.fromkeys(("neurons", "baselines", "probes", "representations", "transplants", "weights"))
FAST = StudySettings(
    measures=("RR@10", "R@10"), random_weights=False, analyses=LEFT_OUT,
    statistics=ComparisonSettings(resamples=200, permutations=200, margin=0.05),
)  # fmt: skip


@pytest.fixture(scope="module")
def together(
    tiny: Tiny, backbone: Retriever, retriever: Retriever, collection: Collection, cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> StudySet:  # fmt: skip
    others = further_trainings(tiny, tmp_path_factory.mktemp("others"))
    return compare_all(backbone, (retriever, *others), collection, FAST, cache=cache)


@pytest.fixture(scope="module")
def other_margin(backbone: Retriever, retriever: Retriever, collection: Collection, cache: Path) -> Study:
    settings = replace(FAST, statistics=replace(FAST.statistics, margin=0.2))
    return compare(backbone, retriever, collection, settings, cache=cache)


def named(**studies: Study) -> list[tuple[Path, Study]]:
    return [(Path(name), study) for name, study in studies.items()]


def test_effects_on_the_own_backbone_are_those_of_each_study(together: StudySet) -> None:
    (one,) = together.overview().comparables
    own = one.against(OWN, "RR@10").set_index("model")
    assert list(own.index) == ["retriever", "training-1", "training-2"]
    for name, study in together.studies.items():
        row = study["retrieval"].effect.table.sel(measure="RR@10")
        assert own.loc[name, "effect"] == float(row["effect"])
        assert own.loc[name, "p_corrected"] == float(row["p_corrected"])
        assert own.loc[name, "state"] == str(study.report_contents.sections["retrieval"].statements[0].state)


def test_no_p_value_is_shown_as_zero(together: StudySet) -> None:
    (one,) = together.overview().comparables
    tiny = replace(one, effects=one.effects.assign(p_corrected=1e-9))
    spec = effects_figure(tiny, "effects").specification
    (shown,) = {row["p"] for rows in spec["datasets"].values() for row in rows if "p" in row}
    assert shown == "< 0.001"
    assert "p_corrected" not in str(spec)


def test_retrievers_are_compared_both_ways_and_corrected_over_all_pairs(together: StudySet) -> None:
    (one,) = together.overview().comparables
    pairs = one.effects[one.effects["baseline"] != OWN]
    assert len(pairs) == 3 * 2 * 2, "three pairs, both ways, two measures"
    forth = one.against("retriever", "RR@10").set_index("model").loc["training-1"]
    back = one.against("training-1", "RR@10").set_index("model").loc["retriever"]
    assert (forth["effect"], forth["ci_low"], forth["ci_high"]) == (-back["effect"], -back["ci_high"], -back["ci_low"])
    assert (forth["before"], forth["p_corrected"], forth["state"]) == (
        back["after"], back["p_corrected"], back["state"]
    )  # fmt: skip
    sides = [together[name]["retrieval"].effect.after.select(measure=["RR@10"]) for name in ("retriever", "training-1")]
    alone = compare_scores(*sides, replace(FAST.statistics, correction="none")).to_frame().iloc[0]
    assert forth["effect"] == pytest.approx(alone["effect"])
    raw = [
        compare_scores(
            *(together[name]["retrieval"].effect.after.select(measure=["RR@10"]) for name in names),
            replace(FAST.statistics, correction="none"),
        ).to_frame()["p"].iloc[0]
        for names in (("retriever", "training-1"), ("retriever", "training-2"), ("training-1", "training-2"))
    ]  # fmt: skip
    found = [
        one.against(a, "RR@10").set_index("model").loc[b, "p_corrected"]
        for a, b in (("retriever", "training-1"), ("retriever", "training-2"), ("training-1", "training-2"))
    ]
    order = np.argsort(raw)
    holm = np.minimum(1, np.maximum.accumulate(np.sort(raw) * [3, 2, 1]))
    np.testing.assert_allclose(np.array(found)[order], holm)


def test_the_answer_names_the_best_and_the_next(together: StudySet) -> None:
    sentences = together.overview().sentences
    means = {name: float(study["retrieval"].effect.table["after"].sel(measure="RR@10"))
             for name, study in together.studies.items()}  # fmt: skip
    best, other, _ = sorted(means, key=lambda name: -means[name])
    assert sentences[0].startswith("On collection, RR@10 rose significantly in ")
    assert sentences[1].startswith(f"Highest: {best} with {means[best]:.3f}, +")
    assert sentences[2].startswith(f"Against the second best, {other}: +")


def test_other_rules_stand_apart_and_are_named(together: StudySet, other_margin: Study) -> None:
    overview = overview_of(members_of(named(one=together["retriever"], two=other_margin)))
    assert [[m.name for m in one.members] for one in overview.comparables] == [["retriever (one)"], ["retriever (two)"]]
    (caution,) = overview.cautions
    reason = "(margin: 0.2 here, 0.05 there)"
    assert caution == f"collection: retriever (two) may not be compared with retriever (one) {reason}"
    page = render_overview(overview, Path("page.html"))
    assert "margin: 0.2 here, 0.05 there" in page
    effects = overview.comparables[0].effects
    assert set(effects["model"]) == {"retriever (one)"}, "nothing of the other is in its table"


def test_other_queries_of_one_collection_stand_apart(
    together: StudySet, backbone: Retriever, retriever: Retriever, collection: Collection, cache: Path
) -> None:
    some = list(collection.queries.values())[:60]
    kept = {query.id for query in some}
    judged = [one for one in collection.judgments if one.query_id in kept]
    fewer = make_collection(collection.name, collection.passages.values(), some, judged)
    study = compare(backbone, retriever, fewer, FAST, cache=cache)
    overview = overview_of(members_of(named(whole=together["retriever"], part=study)))
    assert len(overview.comparables) == 2
    assert "content of the collection" in overview.cautions[0]


def test_curves_are_laid_over_one_another_and_a_shared_backbone_is_drawn_once(
    together: StudySet, tmp_path: Path
) -> None:
    from retroscope.study.overview.figures import curves_figure

    overview = together.overview()
    figure = curves_figure(overview.comparables[0], overview.labels, "curves")
    assert figure is not None
    (rows,) = figure.specification["datasets"].values() if "datasets" in figure.specification else (
        figure.specification["data"]["values"],
    )  # fmt: skip
    assert {row["series"] for row in rows} == {"backbone", "retriever", "training-1", "training-2"}
    assert len(rows) == 4 * 3, "each model once a layer"


def test_the_page_links_into_each_study_and_is_the_same_each_time(together: StudySet, tmp_path: Path) -> None:
    page = together.report(tmp_path / "set")
    html = page.read_text("utf-8")
    assert re.findall(r'<a href="([^"#]+)">', html) == [f"{name}/report.html" for name in together]
    assert html.count('href="training-1/report.html#retrieval"') >= 1
    elsewhere = write_overview(
        read_overview([tmp_path / "set" / name for name in together]), tmp_path / "set" / "o.html"
    )
    again = write_overview(read_overview([tmp_path / "set" / name for name in together]), tmp_path / "set" / "p.html")
    assert elsewhere.read_bytes() == again.read_bytes()
    below = write_overview(read_overview([tmp_path / "set" / "retriever"]), tmp_path / "a b" / "o.html")
    assert 'href="../set/retriever/report.html"' in below.read_text("utf-8")


def test_a_study_without_a_page_has_no_link(together: StudySet, tmp_path: Path) -> None:
    together["retriever"].save(tmp_path / "saved")
    html = render_overview(read_overview([tmp_path / "saved"]), tmp_path / "o.html")
    assert 'href="saved' not in html


def test_hostile_names_stay_text(together: StudySet, tmp_path: Path) -> None:
    study = together["retriever"]
    facts = {**study.facts, "models": {s: {**m, "name": EVIL} for s, m in study.facts["models"].items()}}
    evil = replace(study, facts=facts)  # type: ignore[arg-type]
    folder = tmp_path / 'x"><script>alert(1)</script>'
    html = render_overview(overview_of(members_of([(folder, evil), (tmp_path / "b", evil)])), tmp_path / "o.html")
    assert "<script>alert" not in html
    assert "<img" not in html


def test_only_an_overview_is_replaced(together: StudySet, tmp_path: Path) -> None:
    overview = together.overview()
    (tmp_path / "mine.html").write_text("<html>mine</html>")
    with pytest.raises(SettingsError, match="the overview would overwrite this file, which is not an overview"):
        write_overview(overview, tmp_path / "mine.html")
    with pytest.raises(SettingsError, match="this is a folder"):
        write_overview(overview, tmp_path)
    page = write_overview(overview, tmp_path / "o.html")
    assert write_overview(overview, page) == page


def test_studies_that_cannot_be_laid_side_by_side_are_refused(
    together: StudySet, retriever: Retriever, collection: Collection, cache: Path, tmp_path: Path
) -> None:
    together["retriever"].save(tmp_path / "one")
    with pytest.raises(SettingsError, match="these studies are named more than once"):
        read_overview([tmp_path / "one", tmp_path / "x" / ".." / "one"])
    alone = run_study(plan_study({"model": retriever}, [collection], FAST, cache=cache))
    alone.save(tmp_path / "alone")
    with pytest.raises(AnalysisError, match="does not compare two models"):
        read_overview([tmp_path / "one", tmp_path / "alone"])
    with pytest.raises(AnalysisError, match="this folder does not exist"):
        read_overview([tmp_path / "none"])


def test_names_are_made_distinct() -> None:
    assert distinct(["a", "b"], ["x", "y"]) == ["a", "b"]
    assert distinct(["a", "a"], ["x", "y"]) == ["a (x)", "a (y)"]
    assert distinct(["a", "a"], ["x", "x"]) == ["a (x), 1", "a (x), 2"]
