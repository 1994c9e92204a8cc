"""Statements about the effects of weight transplants over several training runs of the retriever."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from retroscope.analyses.transplants.result import OverTrainings, TransplantEffects
from retroscope.analyses.transplants.words import DOING, NOT_LOCALISED, WEIGHTS
from retroscope.number_format import count, score, signed, tied_p
from retroscope.typesetting.effect_words import effect_limits, estimate_of, most_changed
from retroscope.typesetting.places import place_words
from retroscope.typesetting.statements import State, Statement
from retroscope.typesetting.subject import AFTER, BEFORE

TOPIC = "trainings"


def training_statements(f: TransplantEffects) -> tuple[Statement, ...]:
    """State the effects of weight transplants over all training runs. Return nothing if there is only one run."""
    over = f.over_trainings
    if over is None:
        return ()
    places = over.places[over.places["measure"] == f.measures[0]].set_index("transplant")
    return tuple(_statements(over, places, f.measures[0]))


def _statements(over: OverTrainings, places: pd.DataFrame, measure: str) -> Iterator[Statement]:
    everything, single = places.loc["all"], places.drop(index="all")
    yield _total(over, everything, measure)
    if len(single) and everything["p_corrected"] < over.alpha:  # without a total effect, no place is claimed
        yield _single(over, single, measure)


def _total(over: OverTrainings, row: "pd.Series[Any]", measure: str) -> Statement:
    significant = row["p_corrected"] < over.alpha
    end = "This is the total effect." if significant else NOT_LOCALISED
    each = over.each[(over.each["transplant"] == "all") & (over.each["measure"] == measure)]
    parts = [f"{one['training']} {signed(one['effect'])}" for _, one in each.iterrows()]
    what, where = WEIGHTS[over.direction]
    verb, into = DOING[over.direction]
    text = (
        f"{_over(over)}, {verb} all of {what} {into} {where} changes {measure} from a mean of {score(row[BEFORE])} to "
        f"{score(row[AFTER])} ({_tested(row)}). {end} Effect in each training: {', '.join(parts)}."
    )
    state = State.SIGNIFICANT if significant else State.NOT_SIGNIFICANT
    number = estimate_of(row, f"mean change of {measure} (over all training runs), all weights {over.direction}")
    return Statement(TOPIC, state, text, (), code=f"{over.direction}.trainings.all", estimate=number)


def _single(over: OverTrainings, places: pd.DataFrame, measure: str) -> Statement:
    """State which single blocks, groups and parts change the measure over all training runs."""
    significant = places[places["p_corrected"] < over.alpha]
    largest = most_changed(places, over.alpha)
    named = significant.sort_values("effect", key=abs, ascending=False)
    effects = [f"{place_words(str(place))} {_tested(row)}" for place, row in named.iterrows()]
    measured = f"Effects on {measure}: {'; '.join(effects)}."
    what, where = WEIGHTS[over.direction]
    verb, into = DOING[over.direction]
    at = f"{len(effects) or 'none'} of {count(len(places), 'place')}"
    without = f"The largest change is that of {place_words(str(largest.name))}: {_tested(largest)}."
    text = (
        f"{_over(over)}, {verb} {what} {into} a single place (block, group of blocks or part) of {where} changes "
        f"{measure} significantly for {at}. {measured if effects else without} Random changes of equal size were made "
        f"in {over.names[0]} alone."
    )
    state = State.SIGNIFICANT if effects else State.NOT_SIGNIFICANT
    place = place_words(str(largest.name))
    number = estimate_of(largest, f"mean change of {measure} (over all training runs), {place} {over.direction}")
    return Statement(TOPIC, state, text, (), code=f"{over.direction}.trainings.places", estimate=number)


def _over(over: OverTrainings) -> str:
    return f"Over {count(len(over.names), 'training')} and their queries together"


def _tested(row: "pd.Series[Any]") -> str:
    return f"{signed(row['effect'])} {effect_limits(row)}, Holm-corrected {tied_p(row['p_corrected'])}"
