"""Outcome of a set of studies that is running or finished, which a command writes and prints."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retroscope.study.folder import PAGE
from retroscope.study.outcome import StudyOutcome
from retroscope.study.overview.console import overview_text
from retroscope.study.several.names import folder_name
from retroscope.study.several.study_set import StudySet


@dataclass(frozen=True, eq=False)
class SetOutcome:
    """The finished studies of several retrievers, and the study that is running or was finished last.

    Attributes:
        studies: the finished studies, and the names of the retrievers that are not measured yet.
        name: retriever of the study that is running or was finished last.
        out: folder of the set.
        current: outcome of this study, or None if the study was read from an earlier run.
    """

    studies: StudySet
    name: str
    out: Path
    current: StudyOutcome | None = None

    @property
    def is_final(self) -> bool:
        """Return whether every study is finished."""
        return not self.studies.pending

    def write(self, folder: Path) -> Path | None:
        """Write the current study and the overview of the finished studies, and return the path of the overview."""
        page = folder / PAGE
        if self.current is not None:
            own = self.current.write(folder / folder_name(self.name))
            if not self.current.is_final:
                return page if page.exists() else own
        return self.studies.write_pages(folder)

    def news(self) -> str:
        """Return a sentence of progress with the retriever's name: what was measured since the last `SetOutcome`."""
        if self.current is None:
            return f"{self.name}: read, since it was measured before"
        news = "finished" if self.current.is_final else self.current.news()
        return f"{self.name}: {news}" if news else ""

    def document(self) -> dict[str, Any]:
        """Return what `--json` prints: the overview of the finished studies, as JSON-like values."""
        return self.studies.summary(self.out)

    def text(self, folder: Path | None) -> str:
        """Return the overview as plain text."""
        return overview_text(self.studies.overview(self.out))

    def close(self) -> None:
        """Do nothing, because the temporary files of each study were removed when it was finished."""
