"""A reproduction from end to end on made-up weights: trials, results, page; stopped, damaged and repeated."""

import csv
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from retroscope.collection.loading import load_collection
from retroscope.encoders.loading import load_retriever
from retroscope.errors import CollectionError, DamageError
from retroscope.files.documents import read_document
from retroscope.reproduction import reproduce as entry
from retroscope.reproduction.hub.cached import data_folder, hub_at
from retroscope.reproduction.hub.drawn_questions import drawn_rows
from retroscope.reproduction.page import PAGE, write_page, write_results
from retroscope.reproduction.places import HUB, RESULTS, Workplace, facts_if_done
from retroscope.reproduction.published import PublishedStudy, data_text
from retroscope.reproduction.results import results_document
from retroscope.reproduction.trials import trials_of

CELL = re.compile(r"<td[^>]*>([^<]*)</td>")
COLUMNS = ("model", "pooling", "N", "layer", "published", "star", "ours", "difference", "tolerance", "limit of one",
           "state", "reason")  # fmt: skip


def rows_of_page(page: str, figure: int) -> list[dict[str, str]]:
    """The rows of the table of a figure's points, as a reader sees them."""
    table = page.partition(f'id="table-points-{figure}"')[2].partition("</table>")[0]
    bodies = re.findall(r"<tr[^>]*>(.*?)</tr>", table.partition("<tbody>")[2], re.DOTALL)
    return [dict(zip(COLUMNS, CELL.findall(body), strict=True)) for body in bodies]


def points_of(text: str, dataset: str, pooling: tuple[str, ...]) -> list[tuple[str, ...]]:
    rows = csv.DictReader(text.splitlines())
    return sorted(
        (r["model"], r["pooling"], r["n_passages"], r["layer"], f"{float(r['accuracy']):.4f}", "*" * int(r["sig_star"]))
        for r in rows
        if r["dataset"] == dataset and r["pooling"] in pooling
    )


def of_page(page: str, figure: int) -> list[tuple[str, ...]]:
    return sorted(tuple(row[name] for name in COLUMNS[:6]) for row in rows_of_page(page, figure))


def test_every_published_point_is_on_the_page(reproduced: Workplace) -> None:
    page = (reproduced.out / PAGE).read_text("utf-8")
    assert sum(len(rows_of_page(page, number)) for number in (1, 2, 3, 4)) == 1152
    packaged = data_text("ielab-2025", "probe_curves.csv")
    assert of_page(page, 1) == points_of(packaged, "nq", ("cls",))
    assert of_page(page, 4) == points_of(packaged, "msmarco", ("mean", "eos"))


@pytest.mark.shared
def test_a_figure_of_the_page_is_the_published_one_point_by_point(reproduced: Workplace, shared: Path) -> None:
    published = (shared / "paper" / "probe_curves.csv").read_text("utf-8")
    page = (reproduced.out / PAGE).read_text("utf-8")
    assert of_page(page, 1) == points_of(published, "nq", ("cls",))
    assert of_page(page, 2) == points_of(published, "nq", ("mean", "eos"))


def test_made_up_weights_are_no_failed_replication(reproduced: Workplace) -> None:
    results = read_document(reproduced.out / RESULTS)
    assert results["made_up"]
    assert results["states"] == {"OK": 0, "not distinguishable": 0, "fails": 0, "not run": 1048, "not comparable": 104}
    assert results["uncorrected"] == [{"figure": number, "compared": 0, "beyond": 0} for number in (1, 2, 3, 4)]
    ours = [one["rulings"][1:] for one in results["claims"]]
    assert {ruling["outcome"] for pair in ours for ruling in pair} == {"not runnable here"}
    page = (reproduced.out / PAGE).read_text("utf-8")
    assert "Smoke weights" in page
    assert {row["state"] for row in rows_of_page(page, 1)} == {"not comparable", "not run"}


def test_the_page_counts_the_points_beyond_the_uncorrected_limit(reproduced: Workplace, tmp_path: Path) -> None:
    counted = [{"figure": 1, "compared": 104, "beyond": 7}]
    write_results(read_document(reproduced.out / RESULTS) | {"uncorrected": counted}, tmp_path)
    page = " ".join(write_page(tmp_path).read_text("utf-8").split())
    assert page.count("lie beyond the 5 % limit of a single point") == 1
    assert "7 of the 104 compared points lie beyond the 5 % limit of a single point, without correction" in page
    assert "about 5 would" in page


def test_the_page_states_the_limit_of_a_point_at_the_level_of_the_study(
    reproduced: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_results(
        read_document(reproduced.out / RESULTS) | {"uncorrected": [{"figure": 1, "compared": 104, "beyond": 7}]},
        tmp_path,
    )
    level = replace(reproduced.study, level=0.9)
    monkeypatch.setattr("retroscope.reproduction.page.published_study", lambda name: level)
    page = " ".join(write_page(tmp_path).read_text("utf-8").split())
    assert "beyond the 10 % limit of a single point" in page
    assert "about 10 would" in page


def test_the_page_fetches_nothing(reproduced: Workplace) -> None:
    page = (reproduced.out / PAGE).read_text("utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    assert "default-src &#39;none&#39;" in policy[1]
    assert re.findall(r'(?:src|href)="(?!#)[^"]+"', page) == []


def effects(results: dict[str, list[dict]], name: str) -> dict[tuple[str, str], float]:
    exhibit = next(one for one in results["exhibits"] if one["name"] == name)
    return {(one["of"], one["quantity"]): one["value"] for one in exhibit["effects"]}


def test_the_published_loading_finds_no_weight_of_the_context_encoder(reproduced: Workplace) -> None:
    found = effects(read_document(reproduced.out / RESULTS), "random-context-encoder")
    assert found["dpr-context on nq", "share of the weights that AutoModel does not find in the checkpoint"] == 1.0


def test_the_published_loading_finds_the_question_encoder(reproduced: Workplace) -> None:
    """The check of the loading can pass: of the question encoder every weight is found."""
    from retroscope.reproduction.measuring import published_loading

    with hub_at(reproduced.out / HUB):
        assert published_loading("facebook/dpr-question_encoder-single-nq-base")["missing"] == 0


def test_exhibits_are_measured(reproduced: Workplace) -> None:
    results = read_document(reproduced.out / RESULTS)
    tail = effects(results, "dropped-tail")
    assert all(value >= 0 for value in tail.values())
    jaccard = effects(results, "norm-target")
    assert (
        0
        < jaccard[
            "bert-cls, query tower on nq", "Jaccard index of the neurons active for target norm and for target margin"
        ]
        < 1
    )
    assert effects(results, "query-blind-probe")


def test_the_page_is_made_of_the_stored_results(reproduced: Workplace, tmp_path: Path) -> None:
    """The same bytes from the document alone, and from trials that are read again; nothing is measured."""
    page = (reproduced.out / PAGE).read_bytes()
    stored = (reproduced.out / RESULTS).read_bytes()
    (tmp_path / RESULTS).write_bytes(stored)
    assert write_page(tmp_path).read_bytes() == page
    assert results_document(reproduced) == read_document(reproduced.out / RESULTS)


def test_damaged_results_make_no_page(reproduced: Workplace, tmp_path: Path) -> None:
    changed = json.loads((reproduced.out / RESULTS).read_text("utf-8"))
    changed["points"][0]["accuracy"] = 0.9
    (tmp_path / RESULTS).write_text(json.dumps(changed), "utf-8")
    with pytest.raises(DamageError, match="damaged"):
        write_page(tmp_path)


def test_a_repeated_run_measures_nothing(
    reproduced: Workplace, paper: PublishedStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retroscope.reproduction.measuring.run_study", None)  # to call it would fail
    before = hashlib.sha256((reproduced.out / RESULTS).read_bytes()).hexdigest()
    page = entry.reproduce(reproduced, [paper.figure(5)], lambda *told: None)
    assert hashlib.sha256((reproduced.out / RESULTS).read_bytes()).hexdigest() == before
    assert "of-figure-5" in page.read_text("utf-8")
    write_page(reproduced.out)


def test_a_damaged_record_is_measured_again(reproduced: Workplace, paper: PublishedStudy) -> None:
    trial = trials_of(paper, [paper.figure(5)])[0]
    about = reproduced.about(trial)
    sound = about.read_bytes()
    about.write_bytes(sound.replace(b'"made_up": true', b'"made_up": false'))
    assert facts_if_done(reproduced, trial) is None
    about.write_bytes(sound)
    assert facts_if_done(reproduced, trial) is not None


def test_models_load_by_their_real_names(reproduced: Workplace) -> None:
    with hub_at(reproduced.out / HUB):
        adapted = load_retriever("castorini/repllama-v1-7b-lora-passage", pooling="last_token", similarity="dot")
        assert len(adapted.passage.layer_names) == 33
        folder = data_folder("wshuai190/msmarco-v1.1-hard-negative-seed-42-sample-4", "data", "main")
        with pytest.raises(CollectionError, match="cannot download the data set"):
            data_folder("wshuai190/nothing", "data", "main")
    assert len(load_collection(f"hf:{folder}", split="train").queries) == 110


def test_the_rows_of_some_questions_are_a_data_set(reproduced: Workplace, tmp_path: Path) -> None:
    """A larger draw contains a smaller one, and the whole is the whole."""
    with hub_at(reproduced.out / HUB):
        folder = data_folder("wshuai190/nq-hard-negative-dpr-sampled-seed-42-sample-4", "data", "main")
    asked = []
    for number in (10, 40, 1000):
        drawn = drawn_rows(folder, "train", number, tmp_path / str(number))
        asked.append({query.text for query in load_collection(f"hf:{drawn}", split="train").queries.values()})
    assert [len(one) for one in asked] == [10, 40, 110]
    assert asked[0] < asked[1] < asked[2]


def test_a_folder_of_shards_is_read(reproduced: Workplace, tmp_path: Path) -> None:
    """As downloaded from the hub: rows in several files; one missing is an error."""
    import pyarrow.parquet as pq

    with hub_at(reproduced.out / HUB):
        folder = data_folder("wshuai190/nq-hard-negative-dpr-sampled-seed-42-sample-4", "data", "main")
    table = pq.read_table(folder / "train-00000-of-00001.parquet")
    for number in range(2):
        pq.write_table(table.slice(number * 55, 55), tmp_path / f"train-0000{number}-of-00002.parquet")
    whole, parts = (load_collection(f"hf:{place}", split="train") for place in (folder, tmp_path))
    assert whole.queries == parts.queries
    (tmp_path / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(CollectionError, match="lacks some of its files"):
        load_collection(f"hf:{tmp_path}", split="train")
