"""Check that the paths in settings exist, before torch is imported. No torch."""

from collections.abc import Iterator
from pathlib import Path

from retroscope.collection.loading import resolve_spec
from retroscope.encoders.checkpoints.folders import locate, looks_like_a_path
from retroscope.encoders.checkpoints.recorded import refuse_without_pooling
from retroscope.errors import SettingsError
from retroscope.inputs.settings import DataSettings, ModelSettings, StudySettings


def check_sources(settings: StudySettings) -> StudySettings:
    """Return the settings after checking that every path in them exists. Hub names are not checked.

    Raises:
        EncoderError, CollectionError, SettingsError: if a path does not exist, or if no reader knows the format of its
            data.
    """
    for model in (settings.before, settings.after, *settings.trainings):
        look_for_model(model)
    for data in (settings.data, *settings.also):
        look_for_data(data)
    return settings


def check_sources_and_pooling(settings: StudySettings) -> StudySettings:
    """Return the settings after `check_sources`, and after checking that each local model has a known pooling.

    Raises:
        UnknownPoolingError: if neither the settings nor the files of a local model give its pooling.
        EncoderError, CollectionError, SettingsError: as in `check_sources`.
    """
    for model in (check_sources(settings).before, settings.after, *settings.trainings):
        look_for_pooling(model)
    return settings


def look_for_pooling(settings: ModelSettings | None) -> None:
    """Refuse a local model that records no pooling, if the settings give none."""
    for source in () if settings is None else (settings.source, settings.query, settings.passage):
        if settings is not None and source is not None:
            refuse_without_pooling(source, settings.load)


def look_for_model(settings: ModelSettings | None) -> None:
    """Refuse a model path that does not exist. Hub names are not checked."""
    if settings is None:
        return
    for source in (settings.source, settings.query, settings.passage, settings.load.base):
        if source is not None and looks_like_a_path(source):
            locate(source)


def look_for_data(settings: DataSettings | None) -> None:
    """Refuse the source of a collection if it does not exist or no reader recognises it."""
    if settings is not None:
        resolve_spec(settings.source)


def refuse_source_as_output(settings: StudySettings, out: Path | None) -> None:
    """Refuse an output folder that is the folder of a model or of a collection. None means that nothing is written.

    Raises:
        SettingsError: if `out` is such a folder.
    """
    for what, source in _folders(settings):
        if out is not None and source.is_dir() and out.resolve() == source.resolve():
            raise SettingsError(
                f"the output folder is the folder of {what}, which must stay as it is",
                where=str(out),
                fix="give another output folder",
            )


def _folders(settings: StudySettings) -> Iterator[tuple[str, Path]]:
    """Yield a description and the path of every local source in the settings."""
    for model in (settings.before, settings.after, *settings.trainings):
        for source in () if model is None else (model.source, model.query, model.passage, model.load.base):
            if source is not None and looks_like_a_path(source):
                yield "a model", locate(source)
    for data in (settings.data, *settings.also):
        if data is not None:
            yield "a collection", resolve_spec(data.source)[1]
