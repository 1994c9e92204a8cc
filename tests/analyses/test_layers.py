"""Retrieval by layer: measured, kept, tested, told."""

from pathlib import Path

import numpy as np

from analyses_one import context_of, measured, reported, subject_of
from retroscope.analyses.analysis import NoSettings
from retroscope.analyses.layers import ANALYSIS
from retroscope.inputs.settings import StudySettings
from retroscope.statistics.settings import ComparisonSettings
from tiny_study import Tiny

SETTINGS = StudySettings(measures=("RR@10", "R@10"), statistics=ComparisonSettings(resamples=200, permutations=200))


def test_layers_are_measured_kept_and_reported(tiny: Tiny, cache: Path, tmp_path: Path) -> None:
    context = context_of(tiny, cache, SETTINGS)
    measurement = measured(ANALYSIS, context, NoSettings(), tmp_path / "layers")
    result, section = reported(ANALYSIS, [measurement], subject_of(context))
    effect = result.first.effect
    assert effect.table.sizes == {"layer": 3, "measure": 2}
    means = measurement.scores["after"].mean()
    assert np.allclose(effect.table["after"], means)
    best = int(means.sel(measure="RR@10").values.argmax())
    assert f"layer {best}" in section.statements[0].text
    assert [figure.name for figure in section.figures] == ["layer_retrieval", "chosen_layers", "similarities"]
    counts, above = measurement.frames["similarities"], measurement.frames["above"]
    pairs = counts.groupby(["side", "layer", "passages"])["count"].sum()
    assert set(pairs.xs("relevant", level="passages")) == {90}, "every query has one relevant passage"
    last = above[above["layer"] == 2].set_index("side")["above"]
    assert last["after"] > last["before"] > 0.3, "fine-tuning sets relevant passages apart"
    assert set(section.frames["similarities"]) == {"side", "layer", "passages", "low", "high", "count"}
    assert len(section.tables["layer_retrieval"].frame) == 3
    assert section.document[0]["collection"] == context.collection.name
