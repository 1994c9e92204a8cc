"""Store the scores of one trained model (a cell) of a training ablation, and check that they are complete."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retroscope.collection.collection import Collection
from retroscope.errors import DamageError, TrainingError
from retroscope.files.checksums import Sealed, checksums_of, note_remade
from retroscope.files.documents import SCHEMA, clean, impersonal, read_document, write_document
from retroscope.files.whole import remove_whole
from retroscope.scores import Scores, scores_in, store_of

DONE, SCORES = "cell.json", "scores.zarr"
Tests = Mapping[str, Collection]


def write_cell(place: Path, about: Mapping[str, Any], scores: Mapping[str, Scores], tests: Tests) -> dict[str, Scores]:
    """Store the scores of one trained model (cell) on every test collection, and return them as read back.

    The completion record is written last.

    Args:
        about: content of the completion record: the key of the cell (hash of its inputs), its levels (e.g. strategy and
            seed), and the record of its training.
    """
    remove_whole(place / SCORES)  # of a run that was stopped while it wrote them, or damaged
    for name, of_test in scores.items():
        of_test.save(place / SCORES, group_of(tests[name]))
    means = {name: {str(m): float(v) for m, v in own.mean().to_series().items()} for name, own in scores.items()}
    files = checksums_of(place / SCORES)
    write_document(place / DONE, impersonal(clean({"schema": SCHEMA, **about, "means": means, "files": files})))
    return _scores(place, files, tests)


def is_complete(place: Path, key: str) -> bool:
    """Return whether all scores of a cell (one training run) are stored, with an undamaged completion record.

    Raises:
        TrainingError: if the record has another key, because the cell belongs to another training ablation.
    """
    try:
        return _document(place, key) is not None
    except DamageError:
        return False


def stored_scores(place: Path, key: str, tests: Tests) -> dict[str, Scores] | None:
    """Map each test collection to the stored scores of a cell (training run); None if any are missing or damaged.

    Raises:
        TrainingError: if the record has another key, because the cell belongs to another training ablation.
    """
    try:
        document = _document(place, key)
        return None if document is None else _scores(place, document["files"], tests)
    except DamageError as damage:
        note_remade(damage)
        (place / DONE).unlink()
        return None


def _document(place: Path, key: str) -> dict[str, Any] | None:
    if not (place / DONE).is_file():
        return None
    document = read_document(place / DONE)
    if document["key"] == key:
        return document
    raise TrainingError(
        "this folder holds a training run of another training ablation, with different data, settings, weights or "
        "software",
        where=str(place),
        fix="give another --out, or remove this folder",
    )


def _scores(place: Path, checksums: Mapping[str, str], tests: Tests) -> dict[str, Scores]:
    sealed = Sealed(place / SCORES, checksums, "repeat the command, which trains and tests this model again")
    store = store_of({name: sealed.read(name) for name in checksums})
    return {name: scores_in(store, group_of(test)) for name, test in tests.items()}


def group_of(test: Collection) -> str:
    """Return the name of the zarr group for the scores of a test collection, made from its fingerprint."""
    return f"test-{test.fingerprint[:16]}"
