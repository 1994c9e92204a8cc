"""Vectors in an object store: the same bytes as in a folder, resumable, checked; against a local S3 server."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from retroscope.engine.choice import Engine
from retroscope.engine.ledger import Ledger
from retroscope.engine.storage import Storage
from retroscope.errors import EngineError, RepresentationError
from retroscope.representations.extraction import extract
from retroscope.representations.plan import plan_extraction
from retroscope.representations.settings import ExtractionSettings
from retroscope.representations.store import is_finished, open_store
from retroscope.representations.vectors import Representations
from toys import save_toy

for package in ("obstore", "moto", "flask_cors"):
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed (pip install 'retroscope[test]')", allow_module_level=True)

WORDS = ("moon", "river", "red", "cat", "star", "light", "book", "mat")
TEXTS = [" ".join(WORDS[(i * j) % 8] for j in range(1, 3 + i % 5)) for i in range(30)]
TEXTS += TEXTS[:6]
IDS = [str(i) for i in range(len(TEXTS))]
SERVER = (
    "from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app\n"
    "from werkzeug.serving import run_simple\nimport sys\n"
    "app = DomainDispatcherApplication(create_backend_app)\n"
    "run_simple('127.0.0.1', int(sys.argv[1]), app, threaded=True)\n"
)


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    """An S3 server on this machine with one bucket, and the environment that points to it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    given = {
        "AWS_ENDPOINT_URL": url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }
    try:
        _wait(url)
        request = urllib.request.Request(f"{url}/bucket", method="PUT")
        urllib.request.urlopen(request, timeout=30).close()
        with pytest.MonkeyPatch.context() as patched:
            for name, value in given.items():
                patched.setenv(name, value)
            yield
    finally:
        process.kill()
        process.wait()


def _wait(url: str) -> None:
    deadline = time.monotonic() + 90
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return load_encoder(save_toy("bert", tmp_path_factory.mktemp("bert")), LoadSettings(pooling="mean"))


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retroscope.representations.plan.WINDOW_TEXTS", (8, 8))


def objects(url: str) -> dict[str, bytes | None]:
    storage = Storage(url)
    return {name: storage.read(name) for name in storage.names("")}


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_bucket_holds_the_files_of_a_folder(server: None, encoder: Encoder, tmp_path: Path) -> None:
    plan = plan_extraction(encoder, TEXTS, ExtractionSettings())
    local = extract(plan, IDS, TEXTS, tmp_path / "v")
    remote = extract(plan, IDS, TEXTS, "s3://bucket/same/v.zarr")
    np.testing.assert_array_equal(remote.layer(1), local.layer(1))
    assert objects("s3://bucket/same/v.zarr") == files(tmp_path / "v")


class Stopped(Exception):
    """Stands for a crash."""


def test_a_stopped_run_goes_on_and_mends_what_was_damaged(server: None, encoder: Encoder, tmp_path: Path) -> None:
    url, told = "s3://bucket/resumed/v.zarr", list[str]()
    plan = plan_extraction(encoder, TEXTS, ExtractionSettings())

    def stop(done: int, total: int) -> None:
        if done >= 24:
            raise Stopped

    with pytest.raises(Stopped):
        extract(plan, IDS, TEXTS, url, stop)
    assert (Ledger(Storage(url)).records(), is_finished(url)) == (3, False)
    Storage(url).write("vectors/c/1/0/0", b"damaged")
    extract(plan, IDS, TEXTS, url, engine=Engine(told=told.append))
    extract(plan, IDS, TEXTS, tmp_path / "v")
    assert told == ["1 shard was damaged, so it was computed again"]
    assert objects(url) == files(tmp_path / "v")


def test_a_damaged_or_missing_object_is_no_number(server: None, encoder: Encoder) -> None:
    url = "s3://bucket/damaged/v.zarr"
    extract(plan_extraction(encoder, TEXTS, ExtractionSettings()), IDS, TEXTS, url)
    sound = Storage(url).read("vectors/c/0/0/0")
    assert sound is not None
    Storage(url).write("vectors/c/0/0/0", b"\0" + sound[1:])
    with pytest.raises(RepresentationError, match="the stored vectors cannot be read"):
        Representations(IDS, open_store(url)).layer(0)
    Storage(url).remove("vectors/c/0")
    with pytest.raises(RepresentationError, match="some stored vectors are missing"):
        Representations(IDS, open_store(url)).layer(0)


def test_another_plan_and_a_bucket_that_is_not_there_are_refused(server: None, encoder: Encoder) -> None:
    url = "s3://bucket/other/v.zarr"
    extract(plan_extraction(encoder, TEXTS[:8], ExtractionSettings()), IDS[:8], TEXTS[:8], url)
    with pytest.raises(RepresentationError, match="vectors of another model, recipe, set of texts or choice of layers"):
        extract(plan_extraction(encoder, TEXTS[:9], ExtractionSettings()), IDS[:9], TEXTS[:9], url)
    with pytest.raises(
        EngineError, match=r"s3://nobody/v: access to the object store failed(.|\n)*fix: check the bucket"
    ):
        extract(plan_extraction(encoder, TEXTS[:8], ExtractionSettings()), IDS[:8], TEXTS[:8], "s3://nobody/v")


@pytest.mark.parametrize("url", ["nonsense://bucket/v", "s3:///v"])
def test_a_url_that_names_no_store_is_refused(url: str) -> None:
    with pytest.raises(
        EngineError,
        match=r"this URL is not the address of an object store: (.|\n)*fix: write e\.g\. s3://bucket/prefix",
    ):
        Storage(url).read("a")


def test_no_secret_is_written(server: None, encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret-indeed")
    url = "s3://bucket/secret/v.zarr"
    extract(plan_extraction(encoder, TEXTS[:8], ExtractionSettings()), IDS[:8], TEXTS[:8], url)
    assert not any(b"very-secret" in (content or b"") for content in objects(url).values())
    assert "very-secret-indeed" in os.environ["AWS_SECRET_ACCESS_KEY"]
