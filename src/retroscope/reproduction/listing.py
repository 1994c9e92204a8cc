"""List the figures of a published study, the cost of reproducing each, and the commands that do so. No torch."""

from collections.abc import Sequence
from pathlib import Path

from retroscope.reproduction.costs import RATES, figure_costs
from retroscope.reproduction.places import HUB, Workplace, made_up_snapshot
from retroscope.reproduction.published import NEURONS, PublishedFigure, PublishedStudy
from retroscope.reproduction.trials import SMOKE, ModelTrial, Scale, as_typed_line, command, trials_of


def listed_figures(study: PublishedStudy, figures: Sequence[PublishedFigure]) -> list[str]:
    """Return text lines that describe every figure: title, data set, models, and query or passage encoder."""
    lines = [f"{study.title}", f"{study.authors}, {study.venue}", ""]
    for figure in figures:
        count = len(study.points_of(figure))
        published = f"{count} published points" if count else "no published numbers"
        data = study.data[figure.data]
        lines += [f"Figure {figure.number}: {figure.title} ({published})"]
        lines += [f"  data: {data.source}, split {data.splits[figure.kind]} ({data.about})"]
        lines += [f"  model: {study.models[name].argument}, {study.models[name].pooling} pooling"
                  for name in figure.models]  # fmt: skip
        lines += [f"  tower: {figure.tower}"] if figure.kind == NEURONS else []
    return [*lines, "", study.numbering]


def listed_costs(study: PublishedStudy, figures: Sequence[PublishedFigure], scale: Scale) -> list[str]:
    """Return text lines with the cost of every figure and the assumptions of the estimate."""
    if scale.name == SMOKE:
        return ["smoke: nothing is downloaded; tiny made-up models and texts take a few minutes and under 1 GB"]
    rate = RATES[scale.device.partition(":")[0]]
    lines = [cost.line() for cost in figure_costs(study, figures, scale)]
    return [
        *lines,
        f"times assume {rate:.0e} operations per second on {scale.device} and exclude probes and statistics; the "
        "numbers of rows of the data sets are estimates",
    ]


def listed_commands(
    study: PublishedStudy, figures: Sequence[PublishedFigure], scale: Scale, out: Path | None
) -> list[str]:
    """Return the shell commands that reproduce the figures: the downloads, then one line per measurement (trial).

    Args:
        out: folder for the results; None: a folder below `runs`.
    """
    place = out or Path(f"runs/{study.name}")
    trials = trials_of(study, figures)
    names = list(dict.fromkeys(trial.data for trial in trials))
    lines = [] if scale.name == SMOKE else [_download(study, name) for name in names]
    if scale.name == SMOKE:  # what `reproduce --scale smoke` makes
        lines = [f"export HF_HUB_OFFLINE=1 HF_HUB_CACHE={as_typed_line([str(place / HUB)])}"]
    if scale.limit_queries is not None:
        lines.append(f"# `reproduce` without --display-commands writes the rows of {scale.limit_queries:,} questions")
    for trial in trials:
        folder = _data_folder(study, trial, scale, place)
        lines.append(as_typed_line(command(study, trial, scale, str(folder), str(place / "commands" / trial.name))))
    return lines


def _data_folder(study: PublishedStudy, trial: ModelTrial, scale: Scale, out: Path) -> Path:
    """Return the folder of a trial's data set: the download, a sample of its questions, or made-up data."""
    data = study.data[trial.data]
    if scale.limit_queries is not None:
        return Workplace(study, scale, out, out).rows(trial.data, data.splits[trial.kind])
    if scale.name == SMOKE:
        return made_up_snapshot(out / HUB, "datasets", data.source) / data.folder
    return Path("data") / trial.data / data.folder


def _download(study: PublishedStudy, name: str) -> str:
    """Return the shell command that downloads a data set, as one line."""
    words = ["hf", "download", study.data[name].source, "--repo-type", "dataset"]
    return as_typed_line([*words, "--revision", study.revision, "--local-dir", f"data/{name}"])
