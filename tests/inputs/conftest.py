"""A collection, and a pair of which one matrix differs, made once."""

import pytest

from planted_pair import make_halves, make_planted
from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Retriever


@pytest.fixture(scope="session")
def halves() -> Collection:
    return make_halves()


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Retriever, Retriever]:
    return make_planted(tmp_path_factory.mktemp("planted"))
