"""What the doctor says of a folder beside the library that wrote it: precision, padding, its own code, prompts."""

from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling

from retroscope.encoders import pooling
from retroscope.encoders.checkpoints.folders import quiet
from retroscope.encoders.checks.finding import ERROR, PASSED, Finding
from retroscope.encoders.settings import LoadSettings
from retroscope.inputs.settings import ModelSettings
from retroscope.study.doctor import Diagnosis, diagnose
from toys import save_toy

HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def written(home: Path, toy: str = "bert", *, how: str = "mean", dtype: torch.dtype = torch.float32) -> Path:
    """Save a toy with a head as a sentence-transformers folder, its weights in a precision."""
    torch.manual_seed(0)
    with quiet():
        body = Transformer(str(save_toy(toy, home / "toy")))
        modules = [body, Pooling(16, how), Dense(16, 8), Normalize()]
        model = SentenceTransformer(modules=modules, device="cpu").to(dtype)
        model.save(str(home / "st"))
    return home / "st"


def examined(folder: Path, load: LoadSettings | None = None) -> Diagnosis:
    return diagnose({"model": ModelSettings(source=str(folder), load=load or LoadSettings())})


def of_check(diagnosis: Diagnosis, check: str) -> list[Finding]:
    return [finding for _, finding in diagnosis.findings if finding.check == check]


@pytest.mark.parametrize("dtype", HALVES)
def test_a_sound_folder_saved_in_half_precision_is_sound(
    dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path, dtype=HALVES[dtype])
    with quiet():
        assert SentenceTransformer(str(folder), device="cpu").dtype == HALVES[dtype], "as the library loads it itself"
    diagnosis = examined(folder)
    assert diagnosis.sound
    assert [finding.severity for finding in of_check(diagnosis, "library")] == [PASSED]
    monkeypatch.setitem(pooling.POOLINGS, "mean", lambda hidden, mask: hidden[:, 0])  # the control: a wrong pooling
    wrong = examined(folder)
    assert not wrong.sound
    assert [finding.severity for finding in of_check(wrong, "library")] == [ERROR]
