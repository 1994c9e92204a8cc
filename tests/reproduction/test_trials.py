"""A trial is the command that `--display-commands` prints: both resolve to the same settings."""

from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from typer.main import get_command

from retroscope.cli.main import make_app
from retroscope.inputs.settings import StudySettings
from retroscope.reproduction.measuring import trial_settings
from retroscope.reproduction.published import PublishedStudy
from retroscope.reproduction.trials import command, scale_named, trial_values, trials_of
from retroscope.study.settings import as_values


def settings_typed(words: list[str]) -> StudySettings:
    """The settings that the real command line makes of a command; nothing is run."""
    caught: list[StudySettings] = []

    def catch(settings: StudySettings) -> StudySettings:
        caught.append(settings)
        raise InterruptedError

    with patch("retroscope.inputs.sources.check_sources", catch), pytest.raises(InterruptedError):
        get_command(make_app())(words[1:], standalone_mode=False)
    return caught[0]


@pytest.mark.parametrize("scale", ["smoke", "full"])
def test_every_command_is_its_trial(paper: PublishedStudy, scale: str, tmp_path: Path) -> None:
    size = scale_named(scale, limit_queries=50 if scale == "full" else None)
    trials = trials_of(paper, paper.figures)
    assert len(trials) == 48
    for trial in trials:
        words = command(paper, trial, size, "data/nq/data", str(tmp_path / trial.name))
        ours = trial_settings(trial_values(paper, trial, size, "data/nq/data"), trial.kind)
        assert comparable(settings_typed(words)) == comparable(ours), trial.name


def comparable(settings: StudySettings) -> dict[str, Any]:
    return as_values(settings)


def test_the_comparison_of_settings_can_fail(paper: PublishedStudy, tmp_path: Path) -> None:
    trial, size = trials_of(paper, [paper.figure(1)])[0], scale_named("full")
    words = command(paper, trial, size, "data", str(tmp_path / "out"))
    other = trial_settings(trial_values(paper, trial, scale_named("smoke"), "data"), trial.kind)
    assert comparable(settings_typed(words)) != comparable(other)


def test_trials_of_figures_are_measured_once(paper: PublishedStudy) -> None:
    names = [one.name for one in trials_of(paper, [paper.figure(1), paper.figure(1), paper.figure(5)])]
    assert len(names) == len(set(names)) == 2 * (4 + 2)
