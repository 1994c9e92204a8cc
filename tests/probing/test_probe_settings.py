import pytest

from retroscope.errors import SettingsError
from retroscope.probing.controls import CONTROLS
from retroscope.probing.probes import PROBES
from retroscope.probing.settings import KNOWN_PROBES, ProbeSettings
from retroscope.probing.tally import MDL


def test_the_default_protocol_runs_the_family_with_every_control():
    settings = ProbeSettings()
    assert {*settings.chosen_probes} == {*PROBES, "mdl"} - {"concat"}
    assert settings.chosen_controls == tuple(CONTROLS)
    assert settings.seed_values == (0, 1, 2, 3, 4)


def test_the_published_protocol_is_the_published_probe_and_its_seed():
    settings = ProbeSettings(protocol="ielab-2025", seeds=3)
    assert settings.chosen_probes == ("concat",)
    assert settings.chosen_controls == ("none",)
    assert settings.seed_values == (42, 43, 44)
    training = settings.options.concat
    assert (training.learning_rate, training.batch_size, training.epochs) == (1e-4, 32_768, 30)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"probes": ("elementwse",)}, "did you mean 'elementwise'"),
        ({"controls": ("shuffled",)}, "did you mean 'shuffled_queries'"),
        ({"protocol": "ielab"}, "did you mean 'ielab-2025'"),
        ({"probes": ()}, "at least one probe"),
        ({"controls": ("none", "none")}, "repeats a name(?s:.)*each control once"),
        ({"passages": (1, 2)}, "at least 2"),
        ({"passages": (3, 2)}, "rising"),
        ({"ridge": (0.0, 1.0)}, "ridge is 0.0"),
        ({"seeds": 0}, r"seeds is 0, which is out of range\n  fix: give at least 1"),
        ({"rank": 0}, r"rank is 0, which is out of range\n  fix: give at least 1"),
    ],
)
def test_a_wrong_setting_says_what_is_right(wrong, message):
    with pytest.raises(SettingsError, match=message):
        ProbeSettings(**wrong)


def test_the_names_that_settings_know_are_those_of_the_probes():
    """Settings are read without torch, so they do not ask the table of probes."""
    assert (*PROBES, MDL) == KNOWN_PROBES
