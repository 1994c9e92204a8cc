"""A vector that was made to say a word says it; overlap is beyond shuffled pairs, and goes with flips where planted."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from analyses_one import measured, reported, subject_of
from planted_words import decoder_of
from retroscope.analyses.context import Context
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.retrieval import ANALYSIS as RETRIEVAL
from retroscope.analyses.section import Section
from retroscope.analyses.vocabulary import ANALYSIS
from retroscope.analyses.vocabulary.infer import associated
from retroscope.analyses.vocabulary.measure import INSTRUMENT
from retroscope.analyses.vocabulary.report import page_words
from retroscope.analyses.vocabulary.result import VocabularyResult
from retroscope.analyses.vocabulary.settings import VocabularySettings
from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.errors import SettingsError
from retroscope.inputs.settings import StudySettings
from retroscope.statistics.settings import ComparisonSettings
from retroscope.typesetting.statements import State
from synthetic_subject import reading
from toys import save_toy

PAIRS, TOPICS, WIDTH = 60, 6, 32
STATISTICS = ComparisonSettings(resamples=400)
STUDY = StudySettings(measures=("RR@10",), statistics=STATISTICS)
QUICK = VocabularySettings(k=2)


def about_topics() -> Collection:
    """Return queries of one word and passages of one word; each pair has one of six topics."""
    pairs = range(PAIRS)
    passages = [Passage(f"p{i}", f"passage{i}") for i in pairs]
    queries = [Query(f"q{i}", f"query{i}") for i in pairs]
    return make_collection("topics", passages, queries, [Judgment(f"q{i}", f"p{i}") for i in pairs])


def unit(draw: torch.Generator) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(WIDTH, generator=draw), dim=0)


def made_to_say(folder: Path) -> dict[str, Retriever]:
    """Return a backbone whose vectors decode to their own word, and a retriever that decodes to the topic of a pair."""
    draw = torch.Generator().manual_seed(0)
    own = {f"{kind}{i}": unit(draw) for kind in ("query", "passage") for i in range(PAIRS)}
    topics = {f"topic{t}": unit(draw) for t in range(TOPICS)}
    said = {
        word: vector + 6 * topics[f"topic{int(''.join(filter(str.isdigit, word))) % TOPICS}"]
        for word, vector in own.items()
    }
    before = decoder_of(folder / "before", {**own, **topics}, "before", head={**own, **topics})
    after = decoder_of(folder / "after", {**said, **topics}, "after")
    return {"before": before, "after": after}


@dataclass(frozen=True)
class Said:
    measurement: Measurement
    result: VocabularyResult
    section: Section


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Retriever]:
    return made_to_say(tmp_path_factory.mktemp("said"))


@pytest.fixture(scope="module")
def planted(models: dict[str, Retriever], tmp_path_factory: pytest.TempPathFactory) -> Said:
    folder = tmp_path_factory.mktemp("planted")
    context = Context(models, about_topics(), STUDY, folder / "vectors")
    found = measured(RETRIEVAL, context, RETRIEVAL.settings()(), folder / "retrieval")
    subject = subject_of(context)
    retrieved, _ = reported(RETRIEVAL, [found], subject)
    one = measured(ANALYSIS, context, QUICK, folder / "measurement")
    result, section = reported(ANALYSIS, [one], subject, {"retrieval": retrieved})
    return Said(one, result, section)


def test_a_vector_that_was_made_to_say_a_word_says_it(planted: Said) -> None:
    says = planted.result.says
    after = says[says["side"] == "after"].set_index("query_id")
    for i in range(PAIRS):
        assert after.loc[f"q{i}", "query_says"].split()[0] == f"topic{i % TOPICS}"
        assert after.loc[f"q{i}", "passage_says"].split()[0] == f"topic{i % TOPICS}"
        assert f"topic{i % TOPICS}" in after.loc[f"q{i}", "added"].split(), "the text has no such word"
    before = says[says["side"] == "before"].set_index("query_id")
    assert all(before.loc[f"q{i}", "query_says"].split()[0] == f"query{i}" for i in range(PAIRS))


def test_shares_of_own_words_and_of_what_pairs_have_in_common(planted: Said) -> None:
    assert planted.result.effect is not None
    shares = planted.result.effect.table["before"].to_series(), planted.result.effect.table["after"].to_series()
    last = planted.result.last
    assert shares[0][last, "query words"] == pytest.approx(0.5), "the own word is one of two"
    assert shares[0][last, "overlap"] < 0.1
    assert shares[1][last, "overlap"] >= 0.5, "the topic is one of two"
    assert shares[1][last, "shuffled overlap"] < 0.3, "one shuffled pair in six has the same topic"
    row = planted.result.beyond["after"].table.sel(layer=last)
    assert float(row["p_corrected"]) < 0.001
    said = {statement.code: statement for statement in planted.section.statements}
    assert said["beyond_shuffled"].state is State.SIGNIFICANT
    assert said["overlap"].state is State.SIGNIFICANT
    assert "associated" in said
    assert said["gain"].state is State.SIGNIFICANT, "the overlap of relevant pairs grew more"


def test_the_page_has_what_every_vector_says(planted: Said) -> None:
    page = page_words(planted.result)
    assert page["ids"] == [f"q{i}" for i in range(PAIRS)]
    assert page["query"]["after"][7].split()[0] == "topic1"
    assert page["passage"]["before"][7].split()[0] == "passage7"
    assert planted.section.data()["vocabulary"] == [page]
    assert planted.section.figures[0].specification["description"]
    assert [row["side"] for row in planted.section.values["examples"]][:2] == ["after", "before"]


def test_overlap_that_orders_flips_is_found_and_shuffled_pairs_are_not() -> None:
    rng = np.random.default_rng(0)
    overlap = rng.normal(size=200)
    flipped = np.where(overlap + 0.5 * rng.normal(size=200) > 0, 1.0, -1.0)
    unrelated = rng.permutation(overlap)
    real, control, difference = associated(overlap, unrelated, flipped, STATISTICS)
    assert real.rho > 0.5
    assert real.low > 0.4
    assert real.p < 0.01
    assert difference.rho == pytest.approx(real.rho - control.rho)
    assert difference.low > 0
    assert control.low < 0 < control.high
    assert control.p > 0.05
    still, _, alike = associated(np.zeros(200), np.zeros(200), flipped, STATISTICS)
    assert (still.rho, still.p, alike.p) == (0.0, 1.0, 1.0)


def test_an_association_that_shuffled_pairs_have_as_well_has_no_difference() -> None:
    rng = np.random.default_rng(3)
    level = rng.normal(size=200)
    flipped, overlap, shuffled = (level + rng.normal(size=200) for _ in range(3))
    real, control, difference = associated(overlap, shuffled, flipped, STATISTICS)
    assert real.p < 0.01
    assert control.p < 0.01
    assert difference.low < 0 < difference.high
    assert difference.p > 0.05


def test_p_of_what_is_not_associated_is_uniform() -> None:
    rng = np.random.default_rng(1)
    few = replace(STATISTICS, resamples=200)
    found = [associated(*rng.normal(size=(3, 40)), few)[0] for _ in range(200)]
    assert np.mean([one.p < 0.05 for one in found]) < 0.1
    assert np.mean([one.low <= 0 <= one.high for one in found]) > 0.88


def test_one_model_says_without_a_comparison(models: dict[str, Retriever], tmp_path: Path) -> None:
    context = Context({"model": models["before"]}, about_topics(), STUDY, tmp_path / "vectors")
    centred = replace(QUICK, centred=True, layers=(2, 1), queries=30)
    one = measured(ANALYSIS, context, centred, tmp_path / "measurement")
    assert one.scores["model"].values["layer"].values.tolist() == [1, 2], "the last one is the last layer"
    assert one.caveats == ("vocabulary: a sample of 30 of 60 queries was projected",)
    reporter: Any = ANALYSIS.reporter()
    section = reporter.alone(one, reading(statistics=STATISTICS))
    assert [statement.code for statement in section.statements] == ["beyond_shuffled"]
    assert len(section.tables["vocabulary"].frame) == 2 * 4
    assert section.figures == ()
    assert isinstance(section.frames["vocabulary_says"], pd.DataFrame)


def test_a_model_without_a_head_is_refused(models: dict[str, Retriever], tmp_path: Path) -> None:
    context = Context(models, about_topics(), STUDY, tmp_path)
    assert INSTRUMENT.refusal(context, QUICK) == ""
    with pytest.raises(SettingsError, match=r"vocabulary\.layers names layer 9"):
        INSTRUMENT.refusal(context, replace(QUICK, layers=(9,)))
    with pytest.raises(SettingsError, match=r"vocabulary\.k is 900, more than the \d+ tokens of the vocabulary"):
        INSTRUMENT.refusal(context, replace(QUICK, k=900))
    bare = load_retriever(save_toy("bert", tmp_path / "toy"), pooling="mean")
    assert "saved without its language-model head" in INSTRUMENT.refusal(
        replace(context, models={"model": bare}), QUICK
    )
