"""Where it happened, in words: what each instrument names, and whether putting that back costs what it should."""

import math
from typing import Any

import altair as alt
import pandas as pd

from retroscope.analyses.localisation.result import (
    AGREES,
    BLOCKS,
    CONTRADICTED,
    MATTERS,
    PARTS,
    UNDECIDED,
    StoryFindings,
)
from retroscope.analyses.transplants.result import GRAFT, REWIND
from retroscope.analyses.transplants.words import PART_WORDS, blocks_named
from retroscope.typesetting.curves import embedded
from retroscope.typesetting.figure import Figure
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.numbers import interval, p_value, percent, score, signed
from retroscope.typesetting.statements import CHANGED, NO_EVIDENCE, NOTE, Statement

TOPIC = "where it happened"
DONE = {REWIND: "put back", GRAFT: "put into the backbone"}
ASKED = {  # direction, and whether the whole effect of it is a gain -> the question, and what becomes of retrieval
    (REWIND, False): ("What does retrieval need?", "loss", "to cost"),
    (GRAFT, True): ("What would have sufficed?", "gain", "to gain"),
    (REWIND, True): ("What holds retrieval back?", "gain", "to gain"),
    (GRAFT, False): ("What would have done the harm?", "loss", "to cost"),
}
PROBES = "probes"  # the instrument that rests on the probes' controls
ROWS = {
    "weights": "weights moved",
    "representations": "vectors part (CKA)",
    PROBES: "growth of own question",
    "layers": "growth of layer retrieval",
    "neurons": "neurons' attribution",
    GRAFT: "put in: part of the effect",
    REWIND: "put back: part of the effect",
}
ALONE = {
    REWIND: "Other blocks may compensate",
    GRAFT: "No place may suffice alone",
}  # why nothing is shown of one alone
PERCENT = ("weights", "neurons", GRAFT, REWIND)
FOUND = (AGREES, MATTERS, CONTRADICTED, UNDECIDED)  # in the order of reading
CELL, ROW = 46, 24  # pixels
WIDEST = 640


def place_words(place: str) -> str:
    """A place in a sentence."""
    return PART_WORDS[place] if place in PART_WORDS else blocks_named(place)


def story_statements(story: StoryFindings | None) -> list[Statement]:
    """Where the instruments point, then what is needed and what suffices, and who agrees with that."""
    if story is None:
        return []
    kinds = [row for _, row in story.most.iterrows() if row["explained"] or row["kind"] == BLOCKS]
    return [*_named(story), *(_most(story, row) for row in kinds)]


def _named(story: StoryFindings) -> list[Statement]:
    """What each instrument names among the blocks."""
    claims = _told(story, story.claims[story.claims["kind"] == BLOCKS].drop_duplicates("instrument"))
    if claims.empty:
        return []
    said = "; ".join(f"{ROWS[row['instrument']]}: {place_words(row['place'])}" for _, row in claims.iterrows())
    measured = f": {story.measured_on}" if story.measured_on else ""
    end = f" They are held against transplants{measured}; p is corrected, intervals are not."
    text = f"Where did it happen? What the instruments name, by point estimates: {said}.{end}"
    return [Statement(TOPIC, NOTE, text, instruments=tuple(claims["instrument"]))]


def _told(story: StoryFindings, claims: pd.DataFrame) -> pd.DataFrame:
    """Without neurons that no ablation confirms: those are in the figure and the table only."""
    return claims if story.confirmed else claims[claims["instrument"] != "neurons"]


def _most(story: StoryFindings, row: "pd.Series[Any]") -> Statement:
    """The place that does most alone, and which instruments agree."""
    question, does, to_do = ASKED[row["direction"], bool(row["sign"] > 0)]
    question = question if row["kind"] == BLOCKS else f"{question.rstrip('?')}, by part?"
    done, things = DONE[row["direction"]], "block or group" if row["kind"] == BLOCKS else "part of all blocks"
    if not row["explained"]:
        text = f"{question} All weights, {done}, have no significant effect, so there is nothing to localise."
        return Statement(TOPIC, NO_EVIDENCE, text)
    alone = f"{place_words(row['place'])}: {_effect(story, row)}"
    if not row["shown"]:
        anything = "more than random changes of equal size" if row["controlled"] else "anything"
        text = (
            f"{question} No {things}, {done} alone, is shown {to_do} {anything} (the most, {alone}). "
            f"{ALONE[row['direction']]}, or these queries are too few to show it."
        )
        return Statement(TOPIC, NO_EVIDENCE, text)
    claims = _answers(story, row)
    text = (
        f"{question} {done[0].upper()}{done[1:]} alone, the largest mean {does} is with "
        f"{alone}{_random(row)}{_share(row)}. {_held(claims, row)}"
    )
    return Statement(TOPIC, CHANGED, text.rstrip(), instruments=tuple(claims["instrument"]))


def _random(row: "pd.Series[Any]") -> str:
    """What random changes of equal size do there; nothing where none were tried."""
    return "" if math.isnan(row["random"]) else f"; random changes of equal size do {signed(row['random'])}"


def _share(row: "pd.Series[Any]") -> str:
    if math.isnan(row["share"]):
        return ""
    ends = " to ".join(_percent(row[name]) for name in ("share_low", "share_high"))
    return f"; {_percent(row['share'])} of the whole effect, interval {ends}"


def _percent(value: float) -> str:
    return percent(value) if value >= 0 else f"-{percent(-value)}"


def _answers(story: StoryFindings, row: "pd.Series[Any]") -> pd.DataFrame:
    """What the instruments name, held against this place."""
    claims = story.claims[(story.claims["direction"] == row["direction"]) & (story.claims["kind"] == row["kind"])]
    claims = _told(story, claims)
    return claims[claims["found"].isin(FOUND)]


def _held(claims: pd.DataFrame, row: "pd.Series[Any]") -> str:
    """Which instruments agree with that, and where the others point."""
    said = []
    for word in FOUND:
        found = claims[claims["found"] == word]
        if len(found):
            ends = ["" if word == AGREES else f" ({place_words(place)})" for place in found["place"]]
            names = [f"{ROWS[name]}{end}" for name, end in zip(found["instrument"], ends, strict=True)]
            said.append(f"{word}: {', '.join(names)}")
    return f"Held against it, {'; '.join(said)}. {_luck(row)}" if said else ""


def _luck(row: "pd.Series[Any]") -> str:
    """How probable that agreement is by luck."""
    least = max(1, int(row["agreeing"]))
    many = f"{least} of {int(row['instruments'])}" if least == row["instruments"] else f"{least} or more"
    return (
        f"By luck, {many} would agree with probability {row['luck']:.2f} if each instrument named any place, and "
        f"{row['luck_together']:.2f} if the answer were any place."
    )


def _effect(story: StoryFindings, row: "pd.Series[Any]") -> str:
    return (
        f"{story.measure} {score(row['score'] - row['effect'])} to {score(row['score'])} ({signed(row['effect'])} "
        f"{interval(row['ci_low'], row['ci_high'], effect=True)}, {story.correction}-corrected "
        f"{p_value(row['p_corrected'])})"
    )


def story_figure(story: StoryFindings) -> Figure | None:
    """Every instrument on every block, each on its own scale."""
    found = story.evidence[story.evidence["kind"] == BLOCKS].dropna(subset=["value"])
    if found.empty:
        return None
    largest = found.groupby("instrument")["value"].transform(lambda v: v.max() if v.max() > 0 else 1.0)
    order = [name for key, name in ROWS.items() if key in set(found["instrument"])]
    frame = found.assign(
        row=found["instrument"].map(ROWS),
        strength=(found["value"] / largest).clip(lower=0.0),
        label=[_label(row) for _, row in found.iterrows()],
        blocks=[str(p).partition(":")[2] for p in found["place"]],
    )[["row", "blocks", "first", "strength", "label"]]
    names = list(dict.fromkeys(frame.sort_values("first")["blocks"]))
    base = alt.Chart(embedded(frame)).encode(
        x=alt.X("blocks:O", sort=names, title="block", axis=alt.Axis(labelAngle=0, grid=False)),
        y=alt.Y("row:N", sort=order, title=None, axis=alt.Axis(grid=False)),
    )
    colour = alt.Color("strength:Q", scale=alt.Scale(scheme="viridis", domain=[0, 1]), legend=None)
    text = alt.condition("datum.strength > 0.6", alt.value("black"), alt.value("white"))
    chart = alt.layer(
        base.mark_rect().encode(color=colour, tooltip=["row:N", "blocks:O", "label:N"]),
        base.mark_text(fontSize=10).encode(text="label:N", color=text),
    ).properties(width=min(max(CELL * len(names), 160), WIDEST), height=ROW * len(order))
    caption = (
        "Each row has its own scale, its largest value brightest. Weights: size of the change over size before. CKA: "
        "by how much it falls over the block. Growth: by how much after - before grows over the block "
        "(falls, where the retriever loses). Put in, put "
        f"back: part of the whole effect on {story.measure} that the block alone makes."
    )
    tops = found.loc[found.groupby("instrument", sort=False)["value"].idxmax()]
    said = "; ".join(f"{ROWS[row['instrument']]}: {place_words(row['place'])}" for _, row in tops.iterrows())
    return Figure("story", "Where it happened, by instrument", caption, f"Largest by instrument: {said}", chart)


def _label(row: "pd.Series[Any]") -> str:
    value = float(row["value"])
    if row["instrument"] in PERCENT:
        return _percent(value)
    return f"{value:+.2f}"


def story_tables(story: StoryFindings) -> dict[str, PaperTable]:
    """What each instrument names, and what the transplants say of it."""
    claims = story.claims
    if claims.empty:
        return {}
    frame = pd.DataFrame(
        {
            "instrument": [
                f"{ROWS[r['instrument']]}{', by part' * (r['kind'] == PARTS)}" for _, r in claims.iterrows()
            ],
            "names": [place_words(p) for p in claims["place"]],
            "alone": [DONE[d] for d in claims["direction"]],
            story.measure: [score(v) for v in claims["score"]],
            "effect": [signed(v) for v in claims["effect"]],
            "interval": [interval(r["ci_low"], r["ci_high"], effect=True) for _, r in claims.iterrows()],
            "matters more": [_rival(r) for _, r in claims.iterrows()],
            "transplants": list(claims["found"]),
            "rank": [f"{r['rank']:+.2f} ({p_value(r['rank_p'])})" for _, r in claims.iterrows()],
        }
    )
    note = (
        "Matters more: the place that alone is shown to do most more, by how much, with its interval, paired by query "
        f"({story.correction}-corrected over all other places, an instrument at a time). Agrees: it names the place "
        "that does most. Matters too: it names another that is shown to matter, and none to matter more. An instrument "
        "may name a place for what others did: vectors part where a change below shows. Rank: Spearman's correlation "
        "of its values with what the places do alone, p by permutations of the places, uncorrected."
    )
    numeric = (story.measure, "effect", "interval")
    return {"story": PaperTable(frame, "What each instrument names, held against transplants", note, numeric)}


def _rival(row: "pd.Series[Any]") -> str:
    if not row["rival"]:
        return "none shown"
    more = f"{signed(row['extra'])} {interval(row['extra_low'], row['extra_high'], effect=True)}"
    return f"{place_words(row['rival'])} ({more})"
