"""`retroscope reproduce STUDY --out DIR`: measure a published study again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from retroscope.cli.defaults import option
from retroscope.cli.groups import flat
from retroscope.cli.loading import load_libraries
from retroscope.cli.options import shared as o
from retroscope.cli.values import numbers
from retroscope.errors import SettingsError

if TYPE_CHECKING:
    from retroscope.reproduction.published import PublishedFigure, PublishedStudy
    from retroscope.reproduction.trials import Scale

EXAMPLE = "retroscope reproduce ielab-2025 --figure 1 --scale smoke --out runs/reproduced"


@dataclass(frozen=True, kw_only=True)
class PaperOptions:
    """Options of a reproduction: its figures, its scale, and where it runs."""

    HEADING: ClassVar[str] = "Reproduction"

    figure: Annotated[
        str | None,
        option(
            "--figure",
            help="Numbers of the published figures to measure, comma-separated, e.g. 1,2",
            metavar="NUMBERS",
            default="all",
        ),
    ] = None
    scale: Annotated[
        str,
        option("--scale", help="Scale of the reproduction: smoke (tiny random models and texts, offline, in "
                               "minutes) or full (the paper's models and data, from the hub)",
               metavar="NAME", default="full", known=("smoke", "full"), kind="scale"),
    ] = "full"  # fmt: skip
    limit_queries: o.LimitQueries = None
    device: o.Device = None
    cache: o.Cache = None

    def size(self) -> "Scale":
        """Return the scale (smoke or full), with the number of queries and the device that the user gave."""
        from retroscope.reproduction.trials import scale_named

        return scale_named(self.scale, limit_queries=self.limit_queries, device=self.device or "cpu")


@dataclass(frozen=True, kw_only=True)
class PaperOutput:
    """Options that print figures, costs or commands instead of measuring, and options of the output."""

    list_figures: Annotated[
        bool, option("--list", help="List the published figures with their models and data sets, and stop")
    ] = False
    dry_run: Annotated[
        bool,
        option("--dry-run", help="Print the downloads, disk space, memory and time that every figure needs, and stop"),
    ] = False
    display_commands: Annotated[
        bool,
        option("--display-commands", help="Print the commands that make the same measurements one by one, and stop"),
    ] = False
    out: o.Out = None
    as_json: o.Json = False


@flat()
def run(
    study: Annotated[
        str, typer.Argument(help="Published study to reproduce: ielab-2025 (arXiv 2505.07166)", metavar="STUDY")
    ],
    options: PaperOptions,
    output: PaperOutput,
) -> None:
    """Measure a published study again, figure by figure.

    The page shows every published value beside the value measured here, the same figures under the corrected
    protocol, the paper's claims, and the known defects of the published protocol with their measured effects.
    """
    from retroscope.reproduction.published import published_study
    from retroscope.reproduction.results import figures_of

    paper = published_study(study)
    figures = figures_of(paper, numbers(options.figure, "--figure") or ())
    if output.list_figures or output.dry_run or output.display_commands:
        _tell(paper, figures, options.size(), output)
    else:
        _reproduce(paper, figures, options, output)


def _tell(study: "PublishedStudy", figures: "Sequence[PublishedFigure]", scale: "Scale", output: PaperOutput) -> None:
    """Print the list of figures (`--list`), their costs (`--dry-run`), or the equivalent commands."""
    from retroscope.cli.terminal import emit, say
    from retroscope.reproduction.costs import cost_document, figure_costs
    from retroscope.reproduction.listing import listed_commands, listed_costs, listed_figures

    if output.list_figures:
        name, lines = "figures", listed_figures(study, figures)
    elif output.dry_run:
        name, lines = "costs", listed_costs(study, figures, scale)
    else:
        name, lines = "commands", listed_commands(study, figures, scale, output.out)
    if not output.as_json:
        say("\n".join(lines))
    elif output.dry_run:
        emit(cost_document(figure_costs(study, figures, scale)))
    else:
        emit({name: lines})


def _reproduce(
    study: "PublishedStudy", figures: "Sequence[PublishedFigure]", options: PaperOptions, output: PaperOutput
) -> None:
    out = output.out
    if out is None:
        raise SettingsError(
            "--out is missing: the results are written to a folder",
            fix="give --out DIR, or only look with --list, --dry-run or --display-commands",
        )
    load_libraries()
    from retroscope.cli.terminal import claimed, emit, note, say
    from retroscope.display import progress_bars
    from retroscope.files.whole import refuse_other_report
    from retroscope.inputs.cache import default_cache
    from retroscope.reproduction.page import read_results, summary_lines
    from retroscope.reproduction.places import RESULTS, VECTORS, Workplace
    from retroscope.reproduction.reproduce import reproduce

    cache = options.cache or (out / VECTORS if options.scale == "smoke" else default_cache())
    refuse_other_report(out, RESULTS, ("tables", "figures"))
    with claimed(out, cache=cache), progress_bars() as progress:
        page = reproduce(Workplace(study, options.size(), out, cache), figures, progress)
    results = read_results(out)
    emit(results) if output.as_json else say("\n".join(summary_lines(results)))
    note(f"report: {page}")
