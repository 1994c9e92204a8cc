"""Tables of the facts that can be read before and after fine-tuning."""

import math
from dataclasses import replace

import pandas as pd

from retroscope.analyses.retention.result import P1, RANDOM, RetentionResult
from retroscope.number_format import MISSING, count, interval, p_value, score
from retroscope.statistics import Difference
from retroscope.statistics.association import OddsRatio
from retroscope.typesetting.effect_tables import effects_by, explained, printed_effects
from retroscope.typesetting.frames import rows
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.subject import AFTER, BEFORE

READ_OUTS = {"head": "backbone's head", "refitted": "refitted read-out"}


def fact_tables(result: RetentionResult) -> dict[str, PaperTable]:
    """Return name -> table about the facts, e.g. measures at the last layer, P@1 by layer, and controls."""
    tables = {"facts": _last_layer(result), "facts_by_layer": _by_layer(result), "facts_controls": _controls(result)}
    if result.vocabulary is not None:
        tables["facts_vocabulary"] = _vocabulary(result.vocabulary, result)
    if not result.consistency.empty:
        tables["facts_consistency"] = _consistency(result)
    if not result.strata.empty:
        tables["facts_strata"] = _strata(result)
    if result.associations:
        tables["facts_found"] = _found(result)
    return tables


def _last_layer(result: RetentionResult) -> PaperTable:
    frame = rows(result.effect, layer=result.last)
    printed = printed_effects(result.effect, frame)
    printed.insert(0, "measure", list(frame["measure"]))
    printed.insert(0, "read with", [READ_OUTS[name] for name in frame["readout"]])
    caption = (
        "Facts read from the last layer, with the backbone's language-model head (grafted onto the retriever) or with "
        "a linear read-out fitted to each model (refitted)."
    )
    return PaperTable(
        printed,
        caption,
        _explained(result.effect, result),
        (BEFORE, AFTER, "effect", "interval", "p"),
    )


def _by_layer(result: RetentionResult) -> PaperTable:
    frame = rows(result.effect, measure=P1)
    printed = printed_effects(result.effect, frame)
    printed.insert(0, "layer", list(frame["layer"]))
    printed.insert(0, "read with", [READ_OUTS[name] for name in frame["readout"]])
    losses = result.losses.pivot(index="layer", columns="side", values="loss")
    text = "; ".join(f"{side} {losses[side].iloc[-1]:.3f}" for side in losses.columns)
    loss = f"Loss of the refitted read-out of the last layer on held-out text: {text} nats."
    note = f"{_explained(result.effect, result)} {loss}"
    numeric = ("layer", BEFORE, AFTER, "effect", "interval", "p")
    return PaperTable(printed, f"{P1} by layer; every layer passes through the final norm.", note, numeric)


def _controls(result: RetentionResult) -> PaperTable:
    rows_ = [
        {"control": one.name, "side": one.side, "read with": READ_OUTS[one.readout], P1: score(one.value),
         "interval": interval(one.low, one.high), "most frequent object": score(one.most_frequent), "facts": one.n}
        for one in result.controls
    ]  # fmt: skip
    note = (
        "A control fails if its interval lies above the accuracy of always answering the most frequent object of each "
        "relation."
    ) + scope(result)
    return PaperTable(pd.DataFrame(rows_), "Controls at the last layer.", note, (P1, "interval", "facts"))


def _vocabulary(effect: Difference, result: RetentionResult) -> PaperTable:
    caption = "Reciprocal rank of one-token answers among the whole vocabulary, by layer, with the language-model head."
    return replace(effects_by("layer", effect, rows(effect), caption), note=_explained(effect, result))


def _explained(effect: Difference, result: RetentionResult) -> str:
    """Return a note on the significance marks, and on how many facts and clusters the intervals cover."""
    facts, clusters = effect.method.get("queries", 0), effect.method.get("texts", 0)
    clustered = f"{count(facts, 'fact')} of {count(clusters, result.about['clusters'])}"
    return explained(effect, clustered) + scope(result)


def scope(result: RetentionResult) -> str:
    """Return the sentence that intervals hold for the measured relations only, or "" if relations are observations."""
    if result.about["clusters"] == "relation":
        return ""
    relations = result.about["relations"]
    return f" Intervals hold for {'this' if relations == 1 else 'these'} {count(relations, 'relation')} only."


def _consistency(result: RetentionResult) -> PaperTable:
    frame = result.consistency
    printed = pd.DataFrame(
        {
            "side": frame["side"].replace(RANDOM, "random weights"),
            "read with": [READ_OUTS[name] for name in frame["readout"]],
            "consistency": [score(value) for value in frame["mean"]],
            "facts": frame["size"],
        }
    )
    caption = "Share of the pairs of wordings of one fact that rank the same object first, at the last layer."
    return PaperTable(printed, caption, "", ("consistency", "facts"))


def _strata(result: RetentionResult) -> PaperTable:
    frame = result.strata
    printed = pd.DataFrame(
        {
            "stratum": frame["stratum"],
            "side": frame["side"].replace(RANDOM, "random weights"),
            "read with": [READ_OUTS[name] for name in frame["readout"]],
            P1: [score(value) for value in frame["mean"]],
            "interval": [interval(*ends) for ends in zip(frame["ci_low"], frame["ci_high"], strict=True)],
            "facts": frame["n"],
        }
    )
    return PaperTable(printed, f"{P1} by stratum at the last layer.", scope(result).strip(), (P1, "interval", "facts"))


def _found(result: RetentionResult) -> PaperTable:
    columns = [
        {"stratum": one.stratum or "all", "searched by": one.side, "known": one.n_known,
         "share found, known facts": score(one.known), "share found, unknown facts": score(one.unknown),
         "odds ratio, all": _printed(one.crude), "p": p_value(one.crude.p), "within strata": _printed(one.within),
         "p within": p_value(one.within.p), "facts, all": one.crude.n, "facts, within strata": one.within.n}
        for one in result.associations
    ]  # fmt: skip
    note = (
        "Searched by: the model whose search is tested. Known: number of facts whose object the backbone ranks first. "
        "The odds ratio relates known facts to found facts. The odds ratio within strata is that of Mantel and "
        "Haenszel. It compares facts of the same stratum, the same third by popularity and the same third by shared "
        "words. A group of such facts does not count if all or none of them are known, or if all or none are "
        "found. The odds ratio of all facts is confounded by differences between known and unknown "
        f"facts.{scope(result)}"
    )
    caption = (
        f"Facts known by the backbone, and facts whose passage is found among the first {result.about['found_at']} "
        "passages."
    )
    return PaperTable(pd.DataFrame(columns), caption, note, ("known", "facts, all", "facts, within strata"))


def _printed(one: OddsRatio) -> str:
    return MISSING if math.isnan(one.value) else f"{one.value:.2f} [{one.low:.2f}, {one.high:.2f}]"
