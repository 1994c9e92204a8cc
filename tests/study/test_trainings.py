"""Several trainings of one retriever: retrieval and probes over trainings and queries together."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from retroscope.study.compare import compare
from retroscope.study.summary import summary
from scipy import stats
from transformers import BertConfig, BertModel
from typer.testing import CliRunner

from retroscope.analyses.trainings.measure import distinct
from retroscope.analyses.trainings.summary import PROBING, RETRIEVAL, training_findings
from retroscope.cli.main import make_app
from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.errors import EncoderError, SettingsError
from retroscope.probing.settings import ProbeSettings
from retroscope.scores import Scores
from retroscope.statistics.clusters import clusters_of
from retroscope.statistics.crossed import crossed_mean, crossed_p
from retroscope.statistics.settings import ComparisonSettings
from retroscope.study.plan import describe, plan_run, training_roles
from retroscope.study.settings import ModelSettings, StudySettings, from_plain
from retroscope.study.study import Study, load_study
from retroscope.study.verdict import verdict
from tiny_study import QUICK, Tiny

FAST = replace(
    QUICK,
    probing=ProbeSettings(probes=("cosine", "passage_only"), controls=("none",), passages=(3,), seeds=2),
    neurons=None, ablation=None, drift=None, transplants=None, baselines=None,
)  # fmt: skip


@pytest.fixture(scope="module")
def sisters(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> tuple[Retriever, ...]:
    """Two, saved and read again, so that no vectors of the retriever are taken for theirs."""
    home, made = tmp_path_factory.mktemp("sisters"), []
    for seed in (1, 2):
        one = load_retriever(tiny.retriever, pooling="mean")
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in one.passage.backbone.parameters():
                parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
        folder = home / f"training-{seed}"
        one.passage.backbone.save_pretrained(folder)
        one.passage.tokenizer.save_pretrained(folder)
        made.append(load_retriever(folder, pooling="mean"))
    return tuple(made)


@pytest.fixture(scope="module")
def trained(
    backbone: Retriever, retriever: Retriever, sisters: Sequence[Retriever], collection: Collection, cache: Path
) -> Study:
    return compare(backbone, retriever, collection, FAST, sisters=sisters, cache=cache)


def test_trainings_enter_retrieval_and_the_similarity_probe(trained: Study) -> None:
    found = trained.findings().trainings
    assert found is not None
    assert found.names == ("retriever", "training-1", "training-2")
    means = trained.scores[RETRIEVAL].mean()
    for row in found.retrieval.to_dict(orient="records"):
        assert row["trainings"] == 3
        assert row["after"] == pytest.approx(float(means.sel(measure=row["measure"]).mean()))
        assert row["ci_low"] < row["effect"] < row["ci_high"]
    own = found.each.table.sel(training="retriever")
    xr.testing.assert_allclose(own["effect"].drop_vars("training"), trained.retrieval.table["effect"])
    assert float(found.each.table["effect"].sel(measure="RR@10").std()) > 0, "trainings differ"
    assert found.probing is not None
    assert set(found.probing["probe"]) == {"cosine"}, "passage_only is of one training"
    assert list(found.probing["layer"]) == [0, 1, 2]


def test_the_interval_is_that_of_trainings_and_queries(trained: Study) -> None:
    """Recomputed from the per-query scores; two trainings that differ are less certain than one."""
    found = trained.findings().trainings
    assert found is not None
    before, after = trained.scores["before/retrieval"], trained.scores[RETRIEVAL]
    order = sorted(before.query_ids)
    change = (after.values - before.values).sel(query=order, measure="RR@10").transpose("training", "query").values
    row = found.retrieval.set_index("measure").loc["RR@10"]
    expected = crossed_mean(change, 0.95, (-1, 1), clusters_of(before))
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((float(expected.low), float(expected.high)))
    assert row["p"] == pytest.approx(crossed_p(change, clusters_of(before)))
    widths = []
    for n in (1, 2):
        one = crossed_mean(change[:n], 0.95, clusters=clusters_of(before))
        widths.append(float(one.high - one.low))
    assert widths[1] > widths[0]


def scores_of(values: np.ndarray, passages: dict[str, tuple[str, ...]] | None = None) -> dict[str, Scores]:
    """A study's scores of a backbone at 0 and trainings (training, query) on one measure."""
    ids = [f"q{i:03}" for i in range(values.shape[1])]
    names = [f"t{i}" for i in range(len(values))]
    zero = xr.DataArray(np.zeros((len(ids), 1)), {"query": ids, "measure": ["RR"]}, ["query", "measure"])
    wide = xr.DataArray(
        values.T[:, :, None], {"query": ids, "training": names, "measure": ["RR"]}, ["query", "training", "measure"]
    )
    shared = passages or {}
    return {
        "before/retrieval": Scores("retrieval", zero, passages=shared),
        RETRIEVAL: Scores("trainings", wide, passages=shared),
    }


def test_equal_trainings_give_the_interval_over_queries() -> None:
    """Without spread over trainings what is left is Student's interval over queries, however many trainings."""
    values = np.random.default_rng(0).normal(0.1, 0.2, 40)
    found = training_findings(scores_of(np.stack([values] * 3)), "RR", ComparisonSettings())
    assert found is not None
    row = found.retrieval.iloc[0]
    half = stats.t.ppf(0.975, 39) * values.std(ddof=1) / np.sqrt(40)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((values.mean() - half, values.mean() + half))
    assert row["p"] == pytest.approx(float(stats.ttest_1samp(values, 0).pvalue), rel=1e-6)
    assert row["spread"] == 0


def test_passages_that_queries_share_widen_the_interval() -> None:
    """40 queries of 4 passages, each with an effect of its own: about 4 observations, not 40."""
    rng = np.random.default_rng(1)
    values = np.stack([np.repeat(rng.normal(0, 0.3, 4), 10) + rng.normal(0, 0.05, 40)] * 2)
    shared = {f"q{i:03}": (f"p{i // 10}",) for i in range(40)}
    widths = []
    for passages in (None, shared):
        found = training_findings(scores_of(values, passages), "RR", ComparisonSettings())
        assert found is not None
        row = found.retrieval.iloc[0]
        widths.append(row["ci_high"] - row["ci_low"])
        assert (row["p"] < 0.05) == (row["ci_low"] > 0 or row["ci_high"] < 0), "interval and p agree"
    assert widths[1] > 1.5 * widths[0]


def test_the_report_says_over_how_many_trainings(trained: Study, tmp_path: Path) -> None:
    said = verdict(trained.findings())
    assert "of this training alone" in said.headline.text
    over = [s for s in said.statements if s.topic == "trainings"]
    assert over[0].text.startswith("Over 3 trainings and their queries together, ")
    assert "Each training: retriever " in over[0].text
    assert "training-2 " in over[0].text
    assert "the probe cosine (N = 3)" in over[1].text
    page = trained.report(tmp_path).read_text("utf-8")
    assert 'id="trainings"' in page
    assert "Retrieval over 3 trainings" in page
    document = json.loads(json.dumps(summary(trained)))["trainings"]
    assert document["names"] == ["retriever", "training-1", "training-2"]
    assert [row["measure"] for row in document["retrieval"]] == ["RR@10", "R@10"]
    assert len(document["each"]) == 6
    table = pd.read_parquet(tmp_path / "tables" / "trainings.parquet")
    again = load_study(tmp_path).findings().trainings
    assert again is not None
    pd.testing.assert_frame_equal(again.retrieval, table)
    pd.testing.assert_frame_equal(again.probing, trained.findings().trainings.probing)  # type: ignore[union-attr]


def test_one_training_is_reported_as_before(study: Study) -> None:
    assert study.findings().trainings is None
    assert "of this training alone" not in verdict(study.findings()).headline.text
    assert summary(study)["trainings"] is None
    assert RETRIEVAL not in study.scores
    assert PROBING not in study.scores


def test_a_training_that_is_none_and_one_that_cannot_be_paired(
    tiny: Tiny, backbone: Retriever, retriever: Retriever, collection: Collection, cache: Path, tmp_path: Path
) -> None:
    study = compare(backbone, retriever, collection, FAST, sisters=[retriever], cache=cache)
    says = "retriever (2) has the weights of retriever: it is no other training"
    assert any(caveat.startswith(says) for caveat in study.facts["caveats"])
    shape = BertConfig.from_pretrained(tiny.retriever, num_hidden_layers=3)
    BertModel(shape, add_pooling_layer=False).save_pretrained(tmp_path)
    retriever.passage.tokenizer.save_pretrained(tmp_path)
    deep = load_retriever(tmp_path, pooling="mean", name="deep")
    with pytest.raises(EncoderError, match="retriever has 2 blocks, deep 3: layers cannot be paired"):
        compare(backbone, retriever, collection, FAST, sisters=[deep], cache=cache)


def test_names_that_occur_again_get_a_number(retriever: Retriever) -> None:
    assert [one.name for one in distinct([retriever] * 3)] == ["retriever", "retriever (2)", "retriever (3)"]


def test_the_plan_counts_the_encodings(
    backbone: Retriever, retriever: Retriever, sisters: Sequence[Retriever], collection: Collection, tmp_path: Path
) -> None:
    pair = {"before": backbone, "after": retriever}
    plan = plan_run({**pair, **training_roles(sisters)}, collection, QUICK, tmp_path)
    alone = plan_run(pair, collection, QUICK, tmp_path)
    assert {t["model"] for t in plan["towers"]} - {t["model"] for t in alone["towers"]} == {"training 2", "training 3"}
    assert plan["bytes"] > alone["bytes"]
    assert plan["baselines"]["views"] == alone["baselines"]["views"], "baselines are of the pair alone"
    assert "training 3, " in describe(plan)


def test_sister_may_be_given_several_times(tiny: Tiny, tmp_path: Path) -> None:
    command = ["compare", str(tiny.backbone), str(tiny.retriever), "--data", tiny.data, "--pooling", "mean"]
    command += ["--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache"), "--no-neurons", "--no-baselines"]
    command += ["--no-transplants", "--sister", str(tiny.retriever), "--sister", str(tiny.backbone)]
    result = CliRunner().invoke(make_app(), [*command, "--dry-run", "--json"])
    assert result.exit_code == 0, result.output
    plan = json.loads(result.stdout)
    assert [s["source"] for s in plan["settings"]["sisters"]] == [str(tiny.retriever), str(tiny.backbone)]
    assert {"training 2", "training 3"} <= {tower["model"] for tower in plan["towers"]}


def test_a_file_that_names_one_sister_is_read() -> None:
    one = {"source": "folder"}
    assert from_plain({"sister": one}) == StudySettings(sisters=(ModelSettings(source="folder"),))
    assert from_plain({"sister": None}) == StudySettings()
    with pytest.raises(SettingsError, match="there is no setting 'sister'"):
        from_plain({"sister": one, "sisters": [one]})
    with pytest.raises(SettingsError, match="there is no setting 'sourc'") as wrong:
        from_plain({"sisters": [one, {"sourc": "x"}]})
    assert wrong.value.where == "settings.sisters.1"
