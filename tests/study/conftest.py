"""The tiny pair, made once, and one comparison of it."""

from pathlib import Path

import pytest

from planted_pair import make_halves, make_planted
from retroscope.collection.collection import Collection
from retroscope.collection.loading import load_collection
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.study.run import compare
from retroscope.study.study import Study
from tiny_study import QUICK, Tiny, make_tiny


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def collection(tiny: Tiny) -> Collection:
    return load_collection(tiny.data)


@pytest.fixture(scope="session")
def backbone(tiny: Tiny) -> Retriever:
    return load_retriever(tiny.backbone, pooling="mean")


@pytest.fixture(scope="session")
def retriever(tiny: Tiny) -> Retriever:
    return load_retriever(tiny.retriever, pooling="mean")


@pytest.fixture(scope="session")
def study(backbone: Retriever, retriever: Retriever, collection: Collection, cache: Path) -> Study:
    return compare(backbone, retriever, collection, QUICK, cache=cache)


@pytest.fixture(scope="session")
def halves() -> Collection:
    return make_halves()


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Retriever, Retriever]:
    return make_planted(tmp_path_factory.mktemp("planted"))
