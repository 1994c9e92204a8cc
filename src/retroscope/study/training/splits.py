"""Choose the splits of a collection for training and for testing. No torch."""

from retroscope.collection.loading import splits_of
from retroscope.errors import SettingsError


def training_split(source: str, wanted: str | None) -> str | None:
    """Return the split for training: the requested one, else "train" if it exists, else None for the only split."""
    if wanted is not None:
        return wanted
    splits = splits_of(source)
    if "train" in splits:
        return "train"
    if len(splits) > 1:
        raise SettingsError(
            f"this collection has several splits, and none is called 'train': {', '.join(splits)}",
            where=source,
            fix="choose the split to train with: --split NAME",
        )
    return None


def test_split(source: str, trained: str | None) -> tuple[str, ...]:
    """Return ("test",) if this split exists and is not used for training, else ()."""
    others = set(splits_of(source)) - {training_split(source, trained)}
    return ("test",) if "test" in others and len(splits_of(source)) > 1 else ()
