"""The pairs and collections that analyses are tried on, made once."""

import pytest

from planted_pair import make_halves, make_planted
from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Retriever
from tiny_study import Tiny, make_tiny


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def halves() -> Collection:
    return make_halves()


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Retriever, Retriever]:
    return make_planted(tmp_path_factory.mktemp("planted"))
