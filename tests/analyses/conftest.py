"""The tiny pair that every analysis is tried on, made once."""

import pytest

from drift_findings import reading_of
from retroscope.analyses.section import Reading
from tiny_study import Tiny, make_tiny


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def reading() -> Reading:
    return reading_of()
