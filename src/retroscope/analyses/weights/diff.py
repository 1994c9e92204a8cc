"""Compare the weight files of two checkpoints without data and without a study, for `retroscope diff`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from retroscope.analyses.section import Section
from retroscope.analyses.weights import ANALYSIS, DIFF
from retroscope.analyses.weights.report import weight_section
from retroscope.analyses.weights.result import BOTH, WeightResult
from retroscope.analyses.weights.settings import WeightSettings
from retroscope.display import ShownCount, shown_count
from retroscope.drift.result import WeightDrift
from retroscope.drift.weights import diff_weights
from retroscope.encoders.checkpoints.tensors import is_adapter, open_weights
from retroscope.files.documents import SCHEMA, clean, write_document
from retroscope.files.reading import PathLike, path_or_name
from retroscope.files.whole import refuse_other_report, write_whole
from retroscope.inputs.provenance import command_line, software
from retroscope.typesetting import console
from retroscope.typesetting.charts.drawing import write_figures
from retroscope.typesetting.page import SectionPage, fill
from retroscope.typesetting.subject import AFTER, BEFORE, with_side
from retroscope.typesetting.tables import write_frames


def diff(
    before: PathLike,
    after: PathLike,
    *,
    base: str | None = None,
    settings: WeightSettings | None = None,
    progress: ShownCount = None,
) -> WeightDrift:
    """Compare two checkpoints tensor by tensor, without data and without a forward pass.

    Args:
        before: the backbone: a folder (transformers, sentence-transformers, DPR, PEFT), a GGUF file or a hub name.
        after: the model fine-tuned from it.
        base: base model of the adapters among the two, instead of the one that an adapter names.
        settings: how weights are compared.
        progress: called with (tensors done, tensors in all), or True, False, None: see `display.shown`.

    Raises:
        EncoderError: if the checkpoints have different architectures, or one of them lacks tensors. Also if a base
            model is given and neither is an adapter.
    """
    weight_settings = settings or WeightSettings()
    sources = path_or_name(before), path_or_name(after)
    adapted = [base is not None and is_adapter(source) for source in sources]
    one = open_weights(sources[0], base if adapted[0] else None)
    two = open_weights(sources[1], base if adapted[1] or not adapted[0] else None)
    with shown_count(progress, "tensors") as report:
        drift = diff_weights(
            one, two, spectra=weight_settings.spectra, directions=weight_settings.directions, progress=report
        )
    names = [Path(str(source)).name or str(source) for source in sources]
    if names[0] == names[1]:
        names = [with_side(names[0], BEFORE), with_side(names[1], AFTER)]
    return replace(drift, before=names[0], after=names[1])


def diff_title(drift: WeightDrift) -> str:
    """Return the title of the report that compares two checkpoints."""
    return f"Drift of the weights from {drift.before} to {drift.after}"


def diff_section(drift: WeightDrift) -> Section:
    """Return the report section about the weight changes between two checkpoints, for `retroscope diff`."""
    return replace(weight_section(WeightResult({BOTH: drift})), printed=("weights",))


def diff_document(drift: WeightDrift) -> dict[str, Any]:
    """Return the document of `diff --json`: statements, caveats and compared tensors, as JSON-like values."""
    document = {
        "schema": SCHEMA,
        "title": diff_title(drift),
        "statements": [s.document() for s in diff_section(drift).statements],
        "caveats": list(drift.notes),
        "statuses": {str(k): int(n) for k, n in drift.tensors["status"].value_counts().items()},
        "groups": drift.groups.to_dict(orient="records"),
        "tensors": drift.tensors.to_dict(orient="records"),
        "versions": software(),
        "command": command_line(),
    }
    return {name: clean(value) for name, value in document.items()}


def diff_text(drift: WeightDrift) -> str:
    """Return a comparison of two checkpoints as text for a terminal: statements, caveats, change by layer and part."""
    section = diff_section(drift)
    return console.page(
        [
            diff_title(drift),
            console.statement_list("Statements", section.statements),
            console.bullet_list("Caveats", drift.notes),
            *(console.table(section.tables[name]) for name in section.printed if name in section.tables),
        ]
    )


def refuse_other_reports(folder: Path) -> None:
    """Raise an error if a folder contains a report that `write_diff` did not write.

    Raises:
        SettingsError: if `folder` holds the report of something else, or files in tables/ or figures/ that Retroscope
            did not write.
    """
    refuse_other_report(folder, DIFF, ("tables", "figures"))


def write_diff(drift: WeightDrift, folder: Path) -> Path:
    """Write report.html, diff.json, tables/ and figures/ into `folder` and return the path of the page.

    Raises:
        SettingsError: if `folder` holds the report of something else than a comparison of weights.
    """
    refuse_other_reports(folder)
    section, document = diff_section(drift), diff_document(drift)
    values = {
        "title": diff_title(drift),
        "drift": drift,
        "statements": section.statements,
        "command": document["command"],
        "versions": document["versions"],
    }
    body = SectionPage(ANALYSIS.name, ANALYSIS.title, ANALYSIS.question, ANALYSIS.package, {"section": section})
    page = fill("diff.html.j2", section.figures, section.tables, values, (body,))
    write_document(folder / DIFF, document)
    write_frames({"tensors": drift.tensors, "groups": drift.groups}, section.tables, folder / "tables")
    write_figures(section.figures, folder / "figures")
    return write_whole(folder / "report.html", page.encode())
