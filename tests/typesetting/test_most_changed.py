"""The number of a significant statement is of an effect that is significant, however large others are."""

import pandas as pd
import pytest

from retroscope.typesetting.effect_words import most_changed


@pytest.mark.parametrize(("corrected", "row"), [((0.3, 0.01, 0.02), 2), ((0.3, 0.2, 0.9), 0), ((0.01, 0.2, 0.9), 0)])
def test_significant_effects_come_before_larger_ones(corrected: tuple[float, ...], row: int) -> None:
    table = pd.DataFrame({"effect": [0.5, 0.1, -0.2], "p_corrected": corrected})
    assert most_changed(table, 0.05).name == row
