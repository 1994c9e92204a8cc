"""Write the folder of a study analysis by analysis, so that a stopped run leaves a valid study.

`study.json` names the measurements that belong to the study and is replaced last, as a whole. A measurement is written
under a temporary name and then renamed. So a stopped run leaves a valid study of the analyses that were finished
before.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from retroscope.analyses.measurement import Measurement, facts_in
from retroscope.collection.records import Run
from retroscope.errors import AnalysisError, DamageError
from retroscope.files.checksums import open_sealed
from retroscope.files.documents import fingerprint, write_document
from retroscope.files.whole import checked_file, refuse_foreign, remove_whole, whole_folder
from retroscope.inputs.settings_files import as_yaml
from retroscope.study.folder import FACTS, MEASURED, PARTS, RESTORE, SETTINGS, WRITTEN, stored_facts, stored_settings
from retroscope.typesetting.subject import StudyFacts

Measurements = Mapping[str, Sequence[Measurement]]
MeasurementPlace = tuple[str, int]  # name of an analysis, and index of its collection (0: the first)
WriteRun = Callable[[Run, Path, str], None]


def write_measured(
    folder: Path,
    measured: Measurements,
    settings: Mapping[str, Any],
    write_run: WriteRun,
    written: set[MeasurementPlace],
) -> None:
    """Write the settings and measurements of a study. A different study in the folder is removed first.

    Args:
        written: measurements that this process has already written to the folder. They are not written again, and new
            ones are added to this set.

    Raises:
        SettingsError: if the folder holds files that no study wrote.
    """
    for name in WRITTEN:
        refuse_foreign(folder / name)
    folder.mkdir(parents=True, exist_ok=True)
    stored = _continued(folder, measured, settings, written)
    if stored is None or not stored <= _places(measured).keys():
        (folder / FACTS).unlink(missing_ok=True)
        for name in WRITTEN:
            remove_whole(folder / name)
        with whole_folder(folder / MEASURED):
            written.clear()
    for (name, number), measurement in _places(measured).items():
        if (name, number) not in written:
            measurement.save(folder / MEASURED / name / str(number), write_run)
            written.add((name, number))
    with checked_file(folder / SETTINGS) as file:
        file.write(as_yaml(settings).encode())


def write_facts(folder: Path, measured: Measurements, settings: Mapping[str, Any], facts: StudyFacts) -> None:
    """Write `study.json`, which names the measurements of the study, and what identifies them and the settings."""
    counts = {name: len(measurements) for name, measurements in measured.items()}
    keys = {place: one.key for place, one in _places(measured).items()}
    write_document(folder / FACTS, {**facts, "measured": counts, PARTS: _parts(keys, settings)})


def _parts(keys: Mapping[MeasurementPlace, str], settings: Mapping[str, Any]) -> dict[str, str]:
    """Return what identifies the settings and every measurement of a study, by the name of its file or folder."""
    return {SETTINGS: fingerprint(settings), **{f"{name}/{number}": key for (name, number), key in keys.items()}}


def refuse_mixed(folder: Path, measured: Measurements, settings: Mapping[str, Any], parts: Mapping[str, str]) -> None:
    """Refuse a folder in which files of several studies were mixed.

    Args:
        parts: what `study.json` says of the settings and of every measurement; empty if an early version wrote it.

    Raises:
        DamageError: if the settings or a measurement belong to another study. It names the file or folder.
    """
    found = {f"{name}/{number}": (one.key, MEASURED) for (name, number), one in _places(measured).items()}
    found[SETTINGS] = (fingerprint(settings), ".")
    for name, (own, place) in found.items():
        if parts.get(name, own) != own:
            raise DamageError(
                f"this belongs to another study than {FACTS}: files of several studies were mixed in one folder",
                where=str(folder / place / name),
                fix=RESTORE,
            )


def is_ahead(folder: Path, measured: Measurements, settings: Mapping[str, Any], written: Set[MeasurementPlace]) -> bool:
    """Return whether the folder contains the same study from an earlier run that measured more analyses.

    Args:
        written: measurements that this process has written to the folder. They are not checked for damage again.
    """
    stored = _continued(folder, measured, settings, written)
    return stored is not None and _places(measured).keys() < stored


def is_finished_as(folder: Path, keys: Mapping[MeasurementPlace, str], settings: Mapping[str, Any]) -> bool:
    """Return whether the folder contains a finished study with these settings and measurement keys (input hashes)."""
    try:
        if not (folder / FACTS).exists() or stored_facts(folder).get("not_yet_run"):
            return False
        own = _parts(keys, settings)
        if stored_facts(folder).get(PARTS, own) != own:  # a run that replaced another study was stopped
            return False
        return stored_settings(folder) == settings and _stored_keys(folder, set()) == keys
    except (DamageError, AnalysisError):  # damaged, or of another schema
        return False


def _continued(
    folder: Path, measured: Measurements, settings: Mapping[str, Any], written: Set[MeasurementPlace]
) -> Set[MeasurementPlace] | None:
    """Return the measurements in the folder if it holds the same study (equal settings and keys), else None.

    A damaged study gives None, too: it is not continued, but replaced.
    """
    try:
        if not ((folder / FACTS).exists() and stored_settings(folder) == settings):
            return None
        stored = _stored_keys(folder, written)
    except DamageError:
        return None
    shared = [(own.key, stored[place]) for place, own in _places(measured).items() if place in stored]
    return stored.keys() if all(mine and mine == theirs for mine, theirs in shared) else None


def _stored_keys(folder: Path, written: Set[MeasurementPlace]) -> dict[MeasurementPlace, str]:
    """Map every measurement that `study.json` lists to its key, the hash of everything that determines it.

    Raises:
        DamageError: if a measurement is missing or damaged.
    """
    counts = stored_facts(folder)["measured"]
    places = [(name, number) for name in counts for number in range(counts[name])]
    return {(name, n): _stored_key(folder / MEASURED / name / str(n), (name, n) in written) for name, n in places}


def _stored_key(folder: Path, is_sound: bool) -> str:
    sealed = open_sealed(folder, RESTORE)
    for damage in () if is_sound else sealed.damages():
        raise damage
    return str(facts_in(sealed).get("key", ""))


def _places(measured: Measurements) -> dict[MeasurementPlace, Measurement]:
    return {(name, index): own for name, many in measured.items() for index, own in enumerate(many)}
