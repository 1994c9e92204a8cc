"""The studies of an overview with distinct names, and the labels of all models. No torch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from retroscope.errors import AnalysisError, SettingsError, listed
from retroscope.study.folder import PAGE
from retroscope.study.study import Study, load_study
from retroscope.typesetting.subject import AFTER, BEFORE, Model

Identity = tuple[str, tuple[str, ...]]  # how vectors are compared, and the fingerprint of every tower
SIDES = (BEFORE, AFTER)


@dataclass(frozen=True, eq=False)
class NamedStudy:
    """One study of an overview: its name, folder and report.

    Attributes:
        name: name of its retriever, which is unique in the overview.
        folder: folder in which the study is stored.
        study: the stored study.
    """

    name: str
    folder: Path
    study: Study

    @property
    def page(self) -> Path | None:
        """Return the path of the study's page, or None if there is none."""
        page = self.folder / PAGE
        return page if page.is_file() else None

    def model(self, side: str) -> Model:
        """Return the model "before" or "after" of the study."""
        return self.study.subject.side(side)


def read_members(folders: Sequence[Path], names: Sequence[str] = ()) -> tuple[NamedStudy, ...]:
    """Read the studies in these folders, without loading a model.

    Args:
        folders: one folder for each study.
        names: name of each study. If empty, the names of the retrievers in the studies are used.

    Raises:
        SettingsError: if a folder is named twice.
        AnalysisError: if a folder holds no study, or a study that does not compare two models.
    """
    places = [folder.resolve() for folder in folders]
    twice = [str(folder) for n, folder in enumerate(folders) if places[n] in places[:n]]
    if twice:
        raise SettingsError(f"these studies are named more than once:{listed(twice)}", fix="name every folder once")
    return members_of([(folder, load_study(folder)) for folder in folders], names)


def members_of(studies: Sequence[tuple[Path, Study]], names: Sequence[str] = ()) -> tuple[NamedStudy, ...]:
    """Give every study a distinct name: the name in `names` or, if this is empty, that of its retriever.

    Raises:
        AnalysisError: if a study does not compare two models.
    """
    for folder, study in studies:
        if list(study.subject.models) != [BEFORE, AFTER]:
            raise AnalysisError(
                "this study does not compare two models", where=str(folder), fix="leave this study out of the overview"
            )
    known = list(names) or distinct([study.subject.after.name for _, study in studies], [f.name for f, _ in studies])
    return tuple(NamedStudy(name, *stored) for name, stored in zip(known, studies, strict=True))


def distinct(names: Sequence[str], marks: Sequence[str]) -> list[str]:
    """Make names distinct: a repeated name gets its mark (e.g. the folder's name) in brackets, or else a number."""
    marked = [f"{name} ({mark})" if names.count(name) > 1 else name for name, mark in zip(names, marks, strict=True)]
    return [name if marked.count(name) == 1 else f"{name}, {n}" for n, name in enumerate(marked, start=1)]


def identity(model: Model) -> Identity:
    """Return everything that identifies a model: weights, tokenizer and recipe of its encoders, and its similarity."""
    return model.similarity, tuple(tower.fingerprint for tower in model.towers)


def model_labels(members: Iterable[NamedStudy]) -> Mapping[Identity, str]:
    """Return a distinct label for every model: the study's name for a retriever, its own name for a backbone."""
    every = tuple(members)
    labels = {identity(member.model(AFTER)): member.name for member in reversed(every)}
    for member in every:
        backbone = member.model(BEFORE)
        used = set(labels.values())
        own = [backbone.name, f"{backbone.name} (before {member.name})"]
        labels.setdefault(identity(backbone), next((name for name in own if name not in used), f"before {member.name}"))
    return labels
