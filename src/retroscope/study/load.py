"""Models and data as the settings name them."""

from dataclasses import asdict

from retroscope.collection.collection import Collection
from retroscope.collection.loading import load_collection
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.errors import SettingsError
from retroscope.study.settings import DataSettings, ModelSettings


def retriever_of(settings: ModelSettings | None, what: str = "model") -> Retriever:
    """The retriever that these settings name."""
    if settings is None:
        raise SettingsError(f"no {what} is named", fix="give its folder or hub name")
    load = {name: value for name, value in asdict(settings.load).items() if value is not None}
    return load_retriever(settings.source, query=settings.query, passage=settings.passage, **load)


def collection_of(settings: DataSettings | None) -> Collection:
    """The collection that these settings name."""
    if settings is None:
        raise SettingsError("no collection is named", fix="give --data FORMAT:PATH")
    given = {name: value for name, value in asdict(settings).items() if name != "source"}
    return load_collection(settings.source, **given)
