"""The palette: what repeats one of its colours elsewhere follows it."""

import re
from importlib.resources import files

from retroscope.typesetting.charts.palette import LOOKS
from retroscope.typesetting.subject import AFTER, BEFORE


def test_the_picture_of_the_answer_takes_the_colours_of_the_theme() -> None:
    """The style sheet finds the lines of both models by their colour, to show the one of a dark theme instead."""
    style = (files("retroscope") / "typesetting" / "templates" / "answer.css").read_text(encoding="utf-8")
    named = re.findall(r'\[(?:stroke|fill)="(#\w+)"\] \{ (?:stroke|fill): var\(--(\w+)\)', style)
    assert set(named) == {(LOOKS[side].colour, side) for side in (BEFORE, AFTER)}


def test_no_state_has_the_colour_of_a_model() -> None:
    """Orange beside "significant" read as "significant for the model after"."""
    style = (files("retroscope") / "typesetting" / "templates" / "answer.css").read_text(encoding="utf-8")
    states = re.findall(r"--state: var\(--(\w+)\)", style)
    assert states
    assert not {BEFORE, AFTER} & set(states)
