"""The type `StudySet`: the studies of one backbone and several retrievers, in memory and as a folder."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retroscope.errors import AnalysisError, unknown_name
from retroscope.files.documents import read_document, write_document
from retroscope.files.locks import held
from retroscope.files.reading import PathLike, path_of
from retroscope.files.whole import refuse_other_report
from retroscope.study.folder import PAGE, SET
from retroscope.study.overview.members import NamedStudy, read_members
from retroscope.study.overview.overview import Overview
from retroscope.study.overview.page import overview_of, write_overview
from retroscope.study.several.names import check_distinct
from retroscope.study.study import Study


@dataclass(frozen=True, eq=False)
class StudySet:
    """Studies of one backbone and several retrievers. `set["NAME"]` is the study of the retriever NAME.

    Attributes:
        studies: name of a retriever -> its study.
        pending: names of the retrievers that are not measured yet.
    """

    studies: Mapping[str, Study]
    pending: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Study:
        """Return the study of a retriever.

        Raises:
            SettingsError: if no study of the set has that name.
        """
        if name not in self.studies:
            raise unknown_name("retriever", name, self.studies)
        return self.studies[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.studies)

    def __len__(self) -> int:
        return len(self.studies)

    def __repr__(self) -> str:
        return f"<StudySet: {', '.join(self.studies)}>"

    def overview(self, folder: PathLike = ".") -> Overview:
        """Return an overview of the studies side by side.

        Args:
            folder: folder of the set, in which the pages of its studies are.
        """
        return overview_of(self._members(path_of(folder)), self.pending)

    def _members(self, folder: Path) -> list[NamedStudy]:
        names = list(self.studies)
        places = [folder / place for place in check_distinct(names)]
        return [NamedStudy(name, place, self.studies[name]) for name, place in zip(names, places, strict=True)]

    def report(self, folder: PathLike, *, overwrite: bool = False) -> Path:
        """Write every study below `folder`, and the overview as its report.html, and return the path of that page.

        Args:
            folder: folder to write to. The study of each retriever is written to a subfolder with its name.
            overwrite: whether other studies in the folder are replaced.

        Raises:
            SettingsError: if the folder holds files that no study wrote, or holds other studies and `overwrite` is
                false.
        """
        target = path_of(folder)
        refuse_other_report(target, SET)
        with held(target):
            for member in self._members(target):
                member.study.report(member.folder, overwrite=overwrite)
            return self.write_pages(target)

    def write_pages(self, folder: PathLike) -> Path:
        """Write the overview of studies that are already in `folder`, and return its path."""
        target = path_of(folder)
        overview, page = self.overview(target), target / PAGE
        places = dict(zip(self.studies, check_distinct(list(self.studies)), strict=True))
        write_document(target / SET, {**overview.document(page), "folders": places})
        return write_overview(overview, page)

    def summary(self, folder: PathLike = ".") -> dict[str, Any]:
        """Return the overview as JSON-like values, which `--json` prints.

        Args:
            folder: folder of the set, to which the links to the pages of the studies are relative.
        """
        return self.overview(folder).document(path_of(folder) / PAGE)

    def _repr_html_(self) -> str:
        from retroscope.study.overview.notebook import overview_html

        return overview_html(self.overview())


def set_members(folder: Path) -> tuple[NamedStudy, ...]:
    """Read all studies of one backbone with several retrievers from their common folder.

    Raises:
        AnalysisError: if the folder holds no set of studies.
        DamageError: if one of its files is damaged.
    """
    if not is_set(folder):
        raise AnalysisError(
            "this folder holds no set of studies",
            where=str(folder),
            fix="make a set with several retrievers: retroscope compare BEFORE AFTER AFTER --out DIR",
        )
    places: Mapping[str, str] = read_document(folder / SET)["folders"]
    return read_members([folder / place for place in places.values()], list(places))


def load_set(folder: PathLike) -> StudySet:
    """Read the studies of one backbone with several retrievers that `compare` wrote, without loading a model or torch.

    Raises:
        AnalysisError: if the folder holds no set of studies.
        DamageError: if one of its files is damaged.
    """
    home = path_of(folder)
    pending = tuple(read_document(home / SET)["not_yet_run"]) if is_set(home) else ()
    return StudySet({member.name: member.study for member in set_members(home)}, pending)


def is_set(folder: Path) -> bool:
    """Return whether a folder holds the studies of one backbone with several retrievers (a set)."""
    return (folder / SET).is_file()


def expanded(folders: Sequence[Path]) -> list[Path]:
    """Replace the folder of each set of studies by the folders of its studies. Keep other folders."""
    return [
        place
        for folder in folders
        for place in ([member.folder for member in set_members(folder)] if is_set(folder) else [folder])
    ]
