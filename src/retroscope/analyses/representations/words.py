"""What moved, in words: weights, then where the two models stop arranging texts alike, then the shape of the cloud."""

from typing import Any

import pandas as pd

from retroscope.analyses.representations.result import MovedFindings
from retroscope.analyses.weights.words import weight_statements
from retroscope.study.findings import Findings
from retroscope.typesetting.frames import rows
from retroscope.typesetting.numbers import count, interval, score, signed
from retroscope.typesetting.statements import CHANGED, NO_EVIDENCE, NOTE, Statement
from retroscope.typesetting.subject import AFTER, BEFORE
from retroscope.typesetting.words import best, effect_words

TOPIC = "what moved"
TWIN = "a random-weight twin"
SISTER = "another training of the retriever"


def moved_statements(findings: Findings) -> list[Statement]:
    """Every statement about weights and representations."""
    moved = findings.moved
    if moved is None:
        return []
    weights = [s for tower, f in moved.weights.items() for s in _of_tower(weight_statements(f), tower, moved)]
    alike = [_alike(findings, moved, tower) for tower in dict.fromkeys(moved.similarity["tower"])]
    return [*weights, *alike, _cloud(findings, moved), *geometry_alone(findings), *elsewhere(findings)]


def _of_tower(said: tuple[Statement, ...], tower: str, moved: MovedFindings) -> list[Statement]:
    """The most that a comparison needs of the weights; the page of `diff` says more."""
    if len(moved.weights) == 1:
        return list(said)
    return [Statement(s.topic, s.tone, f"{tower.capitalize()} tower: {s.text}", ()) for s in said]


def _alike(findings: Findings, moved: MovedFindings, tower: str) -> Statement:
    """By CKA; the others are in the table."""
    found = moved.similarity[(moved.similarity["tower"] == tower) & (moved.similarity["statistic"] == "cka")]
    least, most = found.loc[found["value"].idxmin()], best(found, "value")
    text = (
        f"{tower.capitalize()} vectors before and after arrange texts most alike at layer "
        f"{_label(findings, most)} (CKA {_value(most)}) and least at layer {_label(findings, least)} ({_value(least)}"
    )
    controls = [f"two halves of a model's own dimensions reach {score(least['halves'])}"]
    if pd.notna(least["sister"]):
        controls.append(f"{SISTER}, the ceiling, {score(least['sister'])}")
    if pd.notna(least["twin"]):
        controls.append(f"{TWIN} of the backbone {score(least['twin'])}")
    return Statement(TOPIC, NOTE, f"{text}; there {', '.join(controls)}).{_procrustes(findings, moved, tower)}")


def _procrustes(findings: Findings, moved: MovedFindings, tower: str) -> str:
    """The same by Procrustes; nothing of a study that did not measure it."""
    found = moved.similarity[(moved.similarity["tower"] == tower) & (moved.similarity["statistic"] == "procrustes")]
    if found["value"].isna().all():
        return ""
    least = found.loc[found["value"].idxmin()]
    return (
        f" By Procrustes, which large directions dominate less, they are least alike at layer "
        f"{_label(findings, least)} ({_value(least)}; texts paired at random {score(least['chance'])})."
    )


def elsewhere(findings: Findings) -> list[Statement]:
    """Retrieval and the last layer's vectors on the second collection, beside the first."""
    other, here = findings.elsewhere, findings.moved
    if other is None or here is None:
        return []
    table = rows(other.retrieval, measure=findings.primary_measure)
    if table.empty:
        return []
    text, tone = effect_words(other.retrieval, table.iloc[0], findings.primary_measure)
    said = [
        f"{tower} vectors {_value(_last(here, tower))} on {findings.collection.name}, "
        f"{_value(_last(other.moved, tower))} on {other.collection}"
        for tower in dict.fromkeys(here.similarity["tower"])
    ]
    return [Statement(TOPIC, tone, f"On {other.collection}: {text} CKA of the last layer: {'; '.join(said)}.")]


def _last(moved: MovedFindings, tower: str) -> "pd.Series[Any]":
    found = moved.similarity[(moved.similarity["tower"] == tower) & (moved.similarity["statistic"] == "cka")]
    return found.loc[found["layer"].idxmax()]


def _label(findings: Findings, row: "pd.Series[Any]") -> str:
    return findings.layer_label(int(row["layer"]))


def _value(row: "pd.Series[Any]") -> str:
    return f"{score(row['value'])} {interval(row['low'], row['high'])}"


def _cloud(findings: Findings, moved: MovedFindings) -> Statement:
    """Anisotropy and dimensions of passages at the last layer, on both sides."""
    last = moved.shape[(moved.shape["tower"] == "passage") & (moved.shape["layer"] == moved.shape["layer"].max())]
    found = last.set_index(["statistic", "side"])
    said = []
    for name, title, digits in (
        ("anisotropy", "mean cosine of two texts", 3),
        ("effective_rank", "effective dimensions", 0),
    ):
        ends = [found.loc[(name, side)] for side in (BEFORE, AFTER)]
        shown = [f"{e['value']:.{digits}f} [{e['low']:.{digits}f}, {e['high']:.{digits}f}]" for e in ends]
        said.append(f"{title} {shown[0]} before and {shown[1]} after")
    where = findings.layer_label(int(last["layer"].iloc[0]))
    n = moved.texts.get("passage")
    source = f", estimated from {count(n, 'text')}" if n else ""
    return Statement(TOPIC, NOTE, f"The embedding space of passages at layer {where}{source}: {'; '.join(said)}.")


def geometry_alone(findings: Findings) -> list[Statement]:
    """How much of the gain does whitening give the backbone, which knows no query?"""
    gain, both = findings.retrieval, findings.whitened
    if both is None:
        return []
    measure = findings.primary_measure
    plain, white = rows(gain, measure=measure), rows(both, measure=measure)
    if plain.empty or white.empty:
        return []
    before, row = plain.iloc[0], white.iloc[0]
    shift = float(row[BEFORE] - before[BEFORE])
    text, tone = effect_words(both, row, measure)
    opening = (
        f"Whitening alone, which knows no query, takes the backbone's {measure} from {score(before[BEFORE])} to "
        f"{score(row[BEFORE])} ({signed(shift)}), of {signed(before['effect'])} by fine-tuning. With both whitened: "
    )
    return [Statement(TOPIC, tone if tone in (CHANGED, NO_EVIDENCE) else NOTE, f"{opening}{text}")]
