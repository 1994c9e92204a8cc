"""Drift of the weights: in words on changes whose truth is known, and measured on a pair."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from analyses_one import context_of, measured, reported, subject_of
from retroscope.analyses.weights import ANALYSIS
from retroscope.analyses.weights.diff import diff, diff_text, write_diff
from retroscope.analyses.weights.measure import COARSE, measure, plan, refusal
from retroscope.analyses.weights.report import report
from retroscope.analyses.weights.result import BOTH, WeightResult
from retroscope.analyses.weights.settings import WeightSettings
from retroscope.analyses.weights.words import weight_statements
from retroscope.drift.result import WeightDrift
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.errors import EncoderError, SettingsError
from retroscope.inputs.settings import StudySettings
from retroscope.typesetting.statements import State
from synthetic_drift import weight_drift
from synthetic_subject import reading
from tiny_study import Tiny
from toy_adapters import adapter
from toys import save_toy

N_BLOCKS = 4
PARTS = ("attention", "ffn_in", "ffn_out", "norm")


def row(layer: int, part: str, relative: float, **more: object) -> dict[str, object]:
    status = "changed" if relative else "identical"
    return {"name": f"{layer}.{part}", "layer": layer, "part": part, "rows": 8, "columns": 8, "parameters": 64,
            "status": status, "norm": 2.0, "change": 2.0 * relative, "relative": relative, "largest": relative,
            "equal": float(not relative), **more}  # fmt: skip


def drift(changes: dict[tuple[int, str], float], *more: dict[str, object]) -> WeightDrift:
    """Four blocks; what is not named did not change."""
    places = [(0, "embedding"), *((k, part) for k in range(1, N_BLOCKS + 1) for part in PARTS), (4, "final_norm")]
    tensors = pd.DataFrame([*(row(k, part, changes.get((k, part), 0.0)) for k, part in places), *more])
    return WeightDrift(tensors, (), "base", "tuned", N_BLOCKS)


def texts(found: WeightDrift) -> list[str]:
    return [s.text for s in weight_statements(found)]


def test_nothing_changed_is_an_alarm() -> None:
    (only,) = weight_statements(drift({}))
    assert only.state == State.FAILED
    assert only.text.startswith("NOTHING CHANGED: none of 18 tensors differs. The same weights were given twice")


def test_where_a_planted_change_is() -> None:
    statements = texts(drift({(3, "ffn_out"): 0.5}))
    assert statements[0] == (
        "1 of 18 tensors changed; the changed tensors contain 5.6 % of the weights. The Frobenius norm of the weight "
        "change is 12 % of the Frobenius norm of the weights before fine-tuning."
    )
    assert statements[1] == (
        "Norm of the weight change, divided by the norm of the weights before, for each changed part at the layer "
        "where it changed most: FFN out 50 % (layer 3; 1 of 4 layers changed). Unchanged parts: embeddings, "
        "attention, FFN in, norms, final norm."
    )
    assert statements[2] == (
        "The blocks above layer 2 have 100 % of the squared norm of the change of all blocks; an even spread over the "
        "weights would give 50 %. Layer 3 changed most (25 % of its norm before fine-tuning) and layer 1 least (0 %)."
    )
    assert {s.state for s in weight_statements(drift({(3, "ffn_out"): 0.5}))} == {State.MEASURED}


def test_what_is_not_compared_is_said_first() -> None:
    grown = row(0, "embedding", 0.1) | {"name": "grown", "status": "reshaped"}
    first = weight_statements(drift({(1, "norm"): 0.1}, grown))[0]
    assert first.caution
    assert first.text == "1 tensor could not be compared: another shape after fine-tuning (grown)."


def test_numbers_that_are_none() -> None:
    (only,) = weight_statements(drift({}, row(1, "attention", float("nan"))))
    assert only.state is State.FAILED
    assert "contains values that are not finite, so the change of the weights is not reported" in only.text


SPECTRAL = {"stable_rank": 3.0, "effective_rank": 6.0, "random_rank": 7.5, "held": 0.4, "amplification": 2.0,
            "amplification_random": 3.0, "alignment": 1.5, "directions": 2.0, "intruders": 1.0, "intruders_random": 0.0,
            "examined": 8.0, "below": 0.5}  # fmt: skip


def test_directions() -> None:
    statements = texts(drift({}, row(2, "attention", 0.2, **SPECTRAL)))
    assert (
        "an effective rank of 6 and a stable rank of 3 (medians over 1 matrix). The effective rank is 80 %"
        in statements[-3]
    )
    assert statements[-2].startswith(
        "The first 2 singular directions of the change of a matrix have 40 % of the squared norm of the change (median "
        "over the matrices). In these directions, the norm of the original matrix is 1.50 times its norm in random "
        "directions"
    )
    assert statements[-2].endswith(
        "the change is 2.00 times that of the original matrix (amplification). The norm of the change is 3.00 times "
        "the norm of the original matrix in random directions (both multiples are medians over the matrices)."
    )
    never = drift({}, row(2, "attention", 0.2, **(SPECTRAL | {"amplification": np.inf})))
    assert not any("Amplification" in text for text in texts(never))


def test_a_change_as_narrow_as_an_adapters_is_said_to_begin_random() -> None:
    narrow = SPECTRAL | {"effective_rank": 1.2, "random_rank": 100.0}
    assert any("LoRA" in text for text in texts(drift({}, row(2, "attention", 0.2, **narrow))))
    assert not any("LoRA" in text for text in texts(drift({}, row(2, "attention", 0.2, **SPECTRAL))))


def test_intruder_dimensions_beside_those_of_random_changes() -> None:
    calm = row(3, "attention", 0.2, **(SPECTRAL | {"intruders": 0.0}))
    assert texts(drift({}, row(2, "attention", 0.2, **SPECTRAL), calm))[-1] == (
        "Intruder dimensions: 1 of the 16 largest singular vectors after fine-tuning (6.2 %, in 1 matrix) are new. A "
        "new vector has a cosine below 0.5 with every singular vector before fine-tuning. Random changes of equal size "
        "would give 0 new vectors (0 %). At most 8 vectors of each matrix are examined."
    )


def test_without_amplification_nothing_is_said_of_it() -> None:
    later = ("held", "amplification_random", "intruders", "intruders_random", "examined", "below")
    known = {name: value for name, value in SPECTRAL.items() if name not in later}
    assert not any("Amplification" in t for t in texts(drift({}, row(2, "attention", 0.2, **known))))


@pytest.mark.parametrize("changes", [{}, {(3, "ffn_out"): 0.5, (1, "attention"): 0.01}])
def test_page_and_terminal(changes: dict[tuple[int, str], float], tmp_path: Path) -> None:
    drifted = drift(changes)
    page = write_diff(drifted, tmp_path).read_text("utf-8")
    assert "<script src" not in page
    assert "Drift of the weights from base to tuned" in page
    assert {p.name for p in (tmp_path / "tables").iterdir()} >= {"tensors.parquet", "groups.csv", "weights.tex"}
    assert all(text.split(".")[0][:40] in page for text in texts(drifted) if "|" not in text)
    assert "Roy, Vetterli (2007)" in page
    shown = diff_text(drifted)
    assert max(map(len, shown.splitlines())) <= 100
    assert "layer  attention  FFN in  FFN out  norms  embeddings  final norm" in shown


@pytest.mark.parametrize("file", ["tables/mine.csv", "figures/mine.pdf", "report.html"])
def test_files_of_others_are_not_replaced(tmp_path: Path, file: str) -> None:
    mine = tmp_path / file
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    with pytest.raises(SettingsError, match=r"would (be )?overwrit"):
        write_diff(drift({}), tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]


def test_a_comparison_of_weights_is_written_again(tmp_path: Path) -> None:
    write_diff(drift({}), tmp_path)
    write_diff(drift({}), tmp_path)
    assert json.loads((tmp_path / "diff.json").read_text())["title"] == "Drift of the weights from base to tuned"


def test_towers_of_their_own_are_named() -> None:
    both = WeightResult(dict.fromkeys(("query", "passage"), weight_drift()))
    section = report(both, reading())
    statements = [s.text for s in section.statements]
    assert sum(text.startswith("Query tower: 1 of 18 tensors changed") for text in statements) == 1
    assert sum(text.startswith("Passage tower: 1 of 18 tensors changed") for text in statements) == 1
    assert [figure.name for figure in section.figures] == ["weights_query", "weights_passage"]
    assert set(section.tables) == {"weights_query", "weights_passage", "changed_matrices_query",
                                   "changed_matrices_passage"}  # fmt: skip
    assert list(section.frames["weights"].groupby("tower", sort=False).size()) == [18, 18]


def test_all_of_it_is_described_and_not_tested() -> None:
    section = report(WeightResult({BOTH: weight_drift()}), reading())
    assert {(s.topic, s.state, s.rests_on) for s in section.statements} == {("weights", State.MEASURED, ())}
    assert any(
        "FFN out 50 % (layer 4; 1 of 6 layers changed). Unchanged parts: attention, FFN in." in s.text
        for s in section.statements
    )
    assert set(section.frames) == {"weights", "weights_by_layer"}
    assert list(section.document) == [BOTH]


def test_weights_are_measured_kept_and_reported(tiny: Tiny, cache: Path, tmp_path: Path) -> None:
    context = context_of(tiny, cache, StudySettings())
    measurement = measured(ANALYSIS, context, WeightSettings(directions=2), tmp_path / "weights")
    result, section = reported(ANALYSIS, [measurement], subject_of(context))
    (tower,) = result.by_tower.values()
    assert list(result.by_tower) == [BOTH]
    assert (tower.before, tower.after, tower.n_blocks) == (*(m.name for m in context.models.values()), 2)
    direct = measure(context, WeightSettings(directions=2), plan(context, WeightSettings()))
    kept = direct.frames["tensors"].drop(columns=["tower", "before_name", "after_name"])
    pd.testing.assert_frame_equal(tower.tensors, kept, check_dtype=False)
    groups = WeightDrift(kept).groups
    pd.testing.assert_frame_equal(tower.groups, groups, check_dtype=False, check_exact=True)
    assert tower.tensors["effective_rank"].notna().any()
    assert section.document == {BOTH: groups.to_dict(orient="records")}
    assert [figure.name for figure in section.figures] == ["weights"]
    without = measured(ANALYSIS, context, WeightSettings(spectra=False), tmp_path / "without")
    assert "effective_rank" not in without.frames["tensors"]


def test_a_base_goes_to_the_adapters_of_a_pair_and_to_nothing_else(tmp_path: Path) -> None:
    """An adapter before fine-tuning was read over the base that it names, whatever base was given."""
    folder = adapter("llama", tmp_path, ["q_proj", "down_proj"])
    base = (tmp_path / "base").rename(tmp_path / "moved")
    with pytest.raises(EncoderError, match=r"base model .* of this adapter cannot be loaded"):
        diff(folder, base)
    forth, back = diff(base, folder, base=str(base)), diff(folder, base, base=str(base))
    assert forth.tensors["relative"].max() > 0
    assert set(forth.tensors["name"]) == set(back.tensors["name"])
    with pytest.raises(EncoderError, match=r"the base model .* was given, but this checkpoint is not an adapter"):
        diff(base, base, base=str(base))


def test_half_precision_is_a_caveat(tiny: Tiny, cache: Path) -> None:
    context = context_of(tiny, cache, StudySettings())
    half = replace(context, models={side: _halved(one) for side, one in context.models.items()})
    measurement = measure(half, WeightSettings(), plan(half, WeightSettings()))
    assert measurement.caveats == (f"weights: {COARSE}",)
    assert "effective_rank" not in measurement.frames["tensors"]


def _halved(retriever: Retriever) -> Retriever:
    def tower(encoder: Encoder) -> Encoder:
        return replace(encoder, backbone=encoder.backbone.to(torch.float16))

    one = tower(retriever.query)
    return replace(retriever, query=one, passage=one)


def test_what_cannot_be_compared_is_refused(tiny: Tiny, cache: Path, tmp_path: Path) -> None:
    context = context_of(tiny, cache, StudySettings())
    other = load_retriever(save_toy("llama", tmp_path / "llama"), pooling="mean")
    apart = replace(context, models={**context.models, "after": other})
    assert refusal(apart, WeightSettings()).startswith("one is a ")
    alone = replace(context, models={"model": other})
    assert refusal(alone, WeightSettings()) == "weights are compared between two models, but only one model is given"
    with pytest.raises(SettingsError, match="directions is 0"):
        WeightSettings(directions=0)
