"""Write the page of an overview, with links to the page of each study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from retroscope.errors import SettingsError
from retroscope.files.whole import write_whole
from retroscope.number_format import count
from retroscope.study.overview.comparable import OWN, Comparable
from retroscope.study.overview.figures import curves_figure, effects_figure
from retroscope.study.overview.members import NamedStudy, read_members
from retroscope.study.overview.overview import Overview
from retroscope.study.overview.tables import own_table, pairs_table
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.latex import PaperTable

KIND = "retroscope overview"  # marks a page as an overview, which may be replaced
HEAD = 1024  # bytes at the beginning of a file that contain this mark


@dataclass(frozen=True, eq=False)
class Part:
    """Figures and tables of one group of studies whose results on one collection may be compared.

    Attributes:
        place: HTML id of the group's section in the page.
        tables: name -> table.
    """

    comparable: Comparable
    place: str
    figures: tuple[Figure, ...]
    tables: Mapping[str, PaperTable]


def overview_of(members: Sequence[NamedStudy], pending: Sequence[str] = ()) -> Overview:
    """Return an overview of these studies side by side, with its title.

    Args:
        pending: names of retrievers that are not measured yet.
    """
    return Overview(tuple(members), f"Overview of {count(len(members), 'study')}", tuple(pending))


def read_overview(folders: Sequence[Path]) -> Overview:
    """Read stored studies and return their overview, without loading a model or torch.

    Raises:
        SettingsError: if a folder is named twice.
        AnalysisError: if a folder holds no study, or a study that does not compare two models.
    """
    return overview_of(read_members(folders))


def refuse_other_page(page: Path) -> None:
    """Refuse to replace a file that is not an overview.

    Raises:
        SettingsError: if `page` is a folder, or a file that is not an overview.
    """
    if page.is_dir():
        raise SettingsError(
            "an overview is a file, but this is a folder",
            where=str(page),
            fix=f"give a file, e.g. --out {page / 'overview.html'}",
        )
    if page.exists():
        with page.open("rb") as file:
            if f'content="{KIND}"'.encode() not in file.read(HEAD):
                raise SettingsError(
                    "the overview would overwrite this file, which is not an overview",
                    where=str(page),
                    fix="give another file, e.g. --out overview.html",
                )


def write_overview(overview: Overview, page: Path) -> Path:
    """Write the page of an overview, completely or not at all, and return its path.

    Raises:
        SettingsError: if `page` is a folder, or a file that is not an overview.
    """
    refuse_other_page(page)
    return write_whole(page, render_overview(overview, page).encode())


def render_overview(overview: Overview, page: Path) -> str:
    """Return the page of an overview as HTML.

    Args:
        page: path of the overview's page, to which the links to the studies are relative.
    """
    from retroscope.typesetting.page import fill  # altair is slow to import

    parts = [_part(overview, number) for number in range(len(overview.comparables))]
    figures = [figure for part in parts for figure in part.figures]
    tables = {name: table for part in parts for name, table in part.tables.items()}
    values = {
        "title": overview.title,
        "kind": KIND,
        "overview": overview,
        "own": OWN,
        "links": {member.name: overview.link(member, page) for member in overview.members},
        "parts": parts,
    }
    return fill("overview.html.j2", figures, tables, values)


def _part(overview: Overview, number: int) -> Part:
    """Make the figures and tables of the group with the index `number`. After the first group, names get a number."""
    group, end = overview.comparables[number], f"_{number + 1}" if number else ""
    drawn = [effects_figure(group, f"effects{end}"),
             curves_figure(group, overview.labels, f"curves{end}")]  # fmt: skip
    tables = {f"own{end}": own_table(group), f"pairs{end}": pairs_table(group)}
    return Part(group, f"collection-{number + 1}", tuple(figure for figure in drawn if figure), tables)
