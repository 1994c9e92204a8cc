"""What the weights say in words, on changes whose truth is known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retroscope.analyses.weights.report import write_weight_report
from retroscope.analyses.weights.result import WeightFindings
from retroscope.analyses.weights.words import weight_statements
from retroscope.study.console import weight_summary
from retroscope.typesetting.statements import ALARM, CAUTION, NOTE

N_BLOCKS = 4
PARTS = ("attention", "ffn_in", "ffn_out", "norm")


def row(layer: int, part: str, relative: float, **more: object) -> dict[str, object]:
    status = "changed" if relative else "identical"
    return {"name": f"{layer}.{part}", "layer": layer, "part": part, "rows": 8, "columns": 8, "parameters": 64,
            "status": status, "norm": 2.0, "change": 2.0 * relative, "relative": relative, "largest": relative,
            "equal": float(not relative), **more}  # fmt: skip


def findings(changes: dict[tuple[int, str], float], *more: dict[str, object]) -> WeightFindings:
    """Four blocks; what is not named did not change."""
    places = [(0, "embedding"), *((k, part) for k in range(1, N_BLOCKS + 1) for part in PARTS), (4, "final_norm")]
    tensors = pd.DataFrame([*(row(k, part, changes.get((k, part), 0.0)) for k, part in places), *more])
    kept = tensors[tensors["status"].isin(["identical", "changed", "rounded"])]
    groups = kept.assign(tensors=1, changed=(kept["status"] == "changed").astype(int))
    columns = ["layer", "part", "tensors", "changed", "parameters", "norm", "change", "relative"]
    return WeightFindings("base", "tuned", N_BLOCKS, tensors, groups[columns])


def texts(found: WeightFindings) -> list[str]:
    return [s.text for s in weight_statements(found)]


def test_nothing_changed_is_an_alarm() -> None:
    (only,) = weight_statements(findings({}))
    assert only.tone == ALARM
    assert only.text.startswith("NOTHING CHANGED: none of 18 tensors differs. The same weights were given twice")


def test_where_a_planted_change_is() -> None:
    said = texts(findings({(3, "ffn_out"): 0.5}))
    assert said[0] == (
        "1 of 18 tensors changed, with 5.6 % of the weights. The change is 12 % of all weights in size (|D| / |W|)."
    )
    assert said[1] == (
        "Changed: FFN out (1 of 4 layers, most in layer 3: 50 %). "
        "Untouched: embeddings, attention, FFN in, norms, final norm."
    )
    assert said[2] == (
        "By depth: the blocks above layer 2 hold 100 % of the squared change of all blocks (an even spread would give "
        "50 %). Layer 3 moved most, 25 % of its size, layer 1 least, 0 %."
    )
    assert {s.tone for s in weight_statements(findings({(3, "ffn_out"): 0.5}))} == {NOTE}


def test_what_is_not_compared_is_said_first() -> None:
    grown = row(0, "embedding", 0.1) | {"name": "grown", "status": "reshaped"}
    first = weight_statements(findings({(1, "norm"): 0.1}, grown))[0]
    assert first.tone == CAUTION
    assert first.text == "1 tensor of another shape after, not compared: grown."


def test_numbers_that_are_none() -> None:
    (only,) = weight_statements(findings({}, row(1, "attention", float("nan"))))
    assert (only.tone, only.text.split(":")[0]) == (ALARM, "NO NUMBERS")


SPECTRAL = {"stable_rank": 3.0, "effective_rank": 6.0, "random_rank": 7.5, "held": 0.4, "amplification": 2.0,
            "amplification_random": 3.0, "alignment": 1.5, "directions": 2.0, "intruders": 1.0, "intruders_random": 0.0,
            "examined": 8.0, "below": 0.5}  # fmt: skip


def test_directions() -> None:
    said = texts(findings({}, row(2, "attention", 0.2, **SPECTRAL)))
    assert "an effective rank of 6 and a stable rank of 3 (medians of 1 matrix); the effective rank is 80 %" in said[-3]
    assert said[-2].startswith(
        "In the first 2 directions of its change, which hold 40 % of it (squared), a matrix was already 1.50 times as "
        "large as in random directions"
    )
    assert said[-2].endswith(
        "There the change is 2.00 times what was there; it would be 3.00 times in random directions (amplification, "
        "medians)."
    )
    never = findings({}, row(2, "attention", 0.2, **(SPECTRAL | {"amplification": np.inf})))
    assert not any("was already" in text for text in texts(never))


def test_a_change_as_narrow_as_an_adapters_is_said_to_begin_random() -> None:
    narrow = SPECTRAL | {"effective_rank": 1.2, "random_rank": 100.0}
    assert any("LoRA" in text for text in texts(findings({}, row(2, "attention", 0.2, **narrow))))
    assert not any("LoRA" in text for text in texts(findings({}, row(2, "attention", 0.2, **SPECTRAL))))


def test_intruder_dimensions_beside_those_of_random_changes() -> None:
    calm = row(3, "attention", 0.2, **(SPECTRAL | {"intruders": 0.0}))
    assert texts(findings({}, row(2, "attention", 0.2, **SPECTRAL), calm))[-1] == (
        "Intruder dimensions: 1 of the 16 largest singular vectors after (8 a matrix, 1 matrix with any) have a cosine "
        "below 0.5 with every singular vector before, 6.2 %; random changes of the same sizes bring 0 (0 %)."
    )


def test_a_study_of_before_says_nothing_by_the_old_amplification() -> None:
    new = ("held", "amplification_random", "intruders", "intruders_random", "examined", "below")
    old = {name: value for name, value in SPECTRAL.items() if name not in new}
    assert not any("times what was there" in t for t in texts(findings({}, row(2, "attention", 0.2, **old))))


@pytest.mark.parametrize("changes", [{}, {(3, "ffn_out"): 0.5, (1, "attention"): 0.01}])
def test_page_and_terminal(changes: dict, tmp_path: Path) -> None:
    found = findings(changes)
    page = write_weight_report(found, tmp_path).read_text("utf-8")
    assert "<script src" not in page
    assert "What moved in the weights from base to tuned" in page
    assert {p.name for p in (tmp_path / "tables").iterdir()} >= {"tensors.parquet", "groups.csv", "weights.tex"}
    assert all(text.split(".")[0][:40] in page for text in texts(found) if "|" not in text)
    said = weight_summary(found)
    assert max(map(len, said.splitlines())) <= 100
    assert "layer  attention  FFN in  FFN out  norms  embeddings  final norm" in said
