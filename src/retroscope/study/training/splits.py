"""Choose the splits of a collection that a retriever is trained and tested with. No torch."""

from retroscope.collection.loading import splits_of
from retroscope.errors import SettingsError


def training_split(source: str, wanted: str | None) -> str | None:
    """Return the split to train with: the wanted one, else "train" where the source has it, else its only one."""
    if wanted is not None:
        return wanted
    splits = splits_of(source)
    if "train" in splits:
        return "train"
    if len(splits) > 1:
        raise SettingsError(
            f"several splits and none is called train: {', '.join(splits)}", where=source, fix="choose with --split"
        )
    return None


def test_split(source: str, trained: str | None) -> tuple[str, ...]:
    """Return the split to test with unless another is named: "test", where there is one that is not trained with."""
    others = set(splits_of(source)) - {training_split(source, trained)}
    return ("test",) if "test" in others and len(splits_of(source)) > 1 else ()
