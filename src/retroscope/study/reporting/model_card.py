"""Write a section for a model card: what fine-tuning changed, with metadata (`model-index`) for the hub."""

import re
from collections.abc import Iterator
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from retroscope.errors import AnalysisError, SettingsError
from retroscope.files.documents import SCHEMA, clean
from retroscope.number_format import exact_percent, interval, p_value, score, signed
from retroscope.study.reporting.answer import Answer
from retroscope.study.reporting.report import Report
from retroscope.typesetting.statements import Estimate

TASK = ("information-retrieval", "Information Retrieval")  # as sentence-transformers names it
METRICS = {"nDCG": "ndcg", "RR": "mrr", "R": "recall", "P": "precision", "AP": "map", "Success": "accuracy"}
BEGIN, END = "<!-- retroscope: begin -->", "<!-- retroscope: end -->"
SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#&])")


def model_card(report: Report) -> str:
    """Return a complete model card with metadata and the section about fine-tuning.

    Raises:
        AnalysisError: if the study does not compare two models.
    """
    data = ModelCardData(model_name=report.subject.after.name, eval_results=list(_results(report)))
    return f"---\n{data.to_yaml()}\n---\n\n{section(report)}\n"


def card_document(report: Report) -> dict[str, Any]:
    """Return the document of `card --json`: metadata and section for a model card, as JSON-like values.

    Raises:
        AnalysisError: if the study does not compare two models.
    """
    data = ModelCardData(model_name=report.subject.after.name, eval_results=list(_results(report)))
    return {"schema": SCHEMA, "metadata": yaml.safe_load(data.to_yaml()), "section": section(report)}


def into_card(report: Report, text: str, where: str = "") -> str:
    """Insert the section of a study and its metadata into a model card, replacing those of an earlier study.

    Args:
        text: text of the card, e.g. of README.md.
        where: path of the card, for an error.

    Raises:
        AnalysisError: if the study does not compare two models.
        SettingsError: if the card's metadata cannot be read.
    """
    try:
        whole = text if text.lstrip().startswith("---") else f"---\n{{}}\n---\n\n{text}"
        card = ModelCard(whole, ignore_metadata_errors=False)
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"the metadata of this model card cannot be read: {error}",
            where=where,
            fix="correct the YAML at the top of the card, or leave out --into",
        ) from error
    data, new = card.data, list(_results(report))
    if not isinstance(data, ModelCardData):
        raise TypeError(f"the metadata of this card have the type {type(data).__name__}, not ModelCardData")
    replaced = {_measured(result) for result in new}
    unrelated = [result for result in data.eval_results or () if _measured(result) not in replaced]
    data.model_name = data.model_name or report.subject.after.name
    data.eval_results = [*unrelated, *new]
    card.text = _with_section(card.text, section(report))
    return str(card)


def section(report: Report) -> str:
    """Return a model card's section about fine-tuning, as Markdown between two HTML comments that mark it.

    Raises:
        AnalysisError: if the study does not compare two models.
    """
    answer, subject = _answer(report), report.subject
    effects = [effect for s in report.sections.values() for effect in s.estimates]
    version = subject.versions.get("retroscope", "")
    lines = [
        BEGIN,
        "## What fine-tuning changed",
        "",
        f"{escaped(answer.sentence)} Backbone: {escaped(subject.before.name)}. Test collection: "
        f"{escaped(subject.collection.name)}.",
        "",
        "| question | answer | number | state |",
        "|---|---|---|---|",
        *(_cells(card.question, card.answer, str(card.estimate or ""), str(card.state)) for card in answer.cards),
        "",
        "| collection | measure | before | after | change | p | queries |",
        "|---|---|---|---|---|---|---|",
        *map(_row, effects),
        "",
        f"Intervals: {exact_percent(subject.statistics.level)}, over queries; p is corrected. Measured with "
        f"Retroscope {escaped(version)}.",
        END,
    ]
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Return a text on one line, with Markdown and HTML characters escaped."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _answer(report: Report) -> Answer:
    if report.answer is None:
        raise AnalysisError(
            "this study does not compare two models",
            where=report.subject.title,
            fix="give a study of two models, which `retroscope compare BEFORE AFTER` makes",
        )
    return report.answer


def _row(one: Estimate) -> str:
    change = f"{signed(one.value)} {interval(one.low, one.high, effect=True)}"
    sides = (score(one.before), score(one.after))
    return _cells(one.collection, one.name, *sides, change, p_value(one.p), f"{one.n:,}")


def _cells(*texts: str) -> str:
    """Return the texts as one row of a Markdown table."""
    return f"| {' | '.join(map(escaped, texts))} |"


def _results(report: Report) -> Iterator[EvalResult]:
    """Yield the retriever's result for each collection and measure, with its change from the backbone."""
    _answer(report)
    for effect in (effect for s in report.sections.values() for effect in s.estimates):
        change = {
            "before": effect.before,
            "change": effect.value,
            "ci_low": effect.low,
            "ci_high": effect.high,
            "p": effect.p,
            "queries": effect.n,
        }
        yield EvalResult(
            task_type=TASK[0],
            task_name=TASK[1],
            dataset_type=slug(effect.collection),
            dataset_name=effect.collection,
            metric_type=metric_type(effect.name),
            metric_name=effect.name,
            metric_value=clean(effect.after),
            metric_args={name: clean(value) for name, value in change.items()},
        )


def _measured(one: EvalResult) -> tuple[str, str, str]:
    """Return the key of a result: task, collection and measure."""
    return one.task_type, one.dataset_type, one.metric_type


def metric_type(measure: str) -> str:
    """Return the hub's name of a measure: "nDCG@10" is "ndcg_at_10"."""
    name, at, cutoff = measure.partition("@")
    return f"{METRICS.get(name, slug(name))}_at_{cutoff}" if at else METRICS.get(name, slug(name))


def slug(name: str) -> str:
    """Convert a name to lower-case letters, digits and hyphens, e.g. "MS MARCO" to "ms-marco"."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "collection"


def _with_section(text: str, new: str) -> str:
    """Return the text of a card in which our section is replaced by `new`, or `new` is appended if it has none."""
    begin, end = text.find(BEGIN), text.find(END)
    if 0 <= begin < end:
        return f"{text[:begin]}{new}{text[end + len(END) :]}"
    return f"{text.rstrip()}\n\n{new}\n"
