"""Two nodes of one processor: the same bytes as one process, whatever is lost on the way."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from ray_work import SIZE, Meeting, copying, written

from retroscope.analyses.transplants.hybrids import vectors
from retroscope.analyses.transplants.hybrids.vectors import hybrid_vectors
from retroscope.cli.exit_codes import TERMINATED
from retroscope.encoders.encode import tokenise
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from retroscope.engine.choice import LOCAL, Engine
from retroscope.engine.ledger import RECORDS, Ledger
from retroscope.engine.storage import Storage
from retroscope.errors import EngineError
from retroscope.inputs.texts import TowerTexts
from retroscope.representations.extraction import extract, window_job
from retroscope.representations.plan import plan_extraction
from retroscope.representations.settings import ExtractionSettings
from retroscope.representations.store import open_store
from toys import save_toy

if find_spec("ray") is None:
    pytest.skip("Ray is not installed (pip install 'retroscope[ray]')", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[2]
STORE_BYTES = 80 * 2**20
WORDS = ("moon", "river", "red", "cat", "star", "light", "book", "mat")
TEXTS = [" ".join(WORDS[(i * j) % 8] for j in range(1, 3 + i % 5)) for i in range(60)]


@pytest.fixture(scope="module")
def environment() -> Iterator[None]:
    """What the processes of Ray inherit: where the code is, and nothing that leaves the machine."""
    paths = [str(ROOT / "src"), str(ROOT / "tests"), str(ROOT / "tests" / "engine"), os.environ.get("PYTHONPATH", "")]
    given = {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "OMP_NUM_THREADS": "1",
    }
    with pytest.MonkeyPatch.context() as patched:
        for name, value in given.items():
            patched.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def cluster(environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A head without processors, to which nodes are added; this process is connected to it."""
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False},
    )
    try:
        ray.init(address=made.address, log_to_driver=False, configure_logging=False)
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


@pytest.fixture(scope="module")
def nodes(cluster: Any) -> Callable[[], list[Any]]:
    """Bring the cluster to two nodes of one processor, and return them."""

    def two() -> list[Any]:
        while len(cluster.worker_nodes) < 2:
            cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        cluster.wait_for_nodes()
        return list(cluster.worker_nodes)

    return two


def test_a_process_of_one_cluster_is_not_taken_for_one_of_another(cluster: Any, tmp_path: Path) -> None:
    job = copying(tmp_path, 1)
    with pytest.raises(
        EngineError, match=r"10.0.0.1:6379: this process is already connected to another Ray cluster, at "
    ):
        Engine("ray", address="10.0.0.1:6379").run(job)
    assert not any(tmp_path.iterdir())


def test_the_vectors_are_those_of_one_process(
    nodes: Callable[[], list[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retroscope.representations.plan.WINDOW_TEXTS", (8, 8))
    nodes()
    encoder = load_encoder(save_toy("bert", tmp_path / "bert"), LoadSettings(pooling="mean"))
    texts = [*TEXTS, *TEXTS[:12], *TEXTS]  # windows that need others
    plan = plan_extraction(encoder, texts, ExtractionSettings())
    ids = [str(i) for i in range(len(texts))]
    extract(plan, ids, texts, tmp_path / "local")
    extract(plan, ids, texts, tmp_path / "ray", engine=Engine("ray", workers=1))
    assert files(tmp_path / "ray") == files(tmp_path / "local")

    place = tmp_path / "two"
    shutil.copytree(tmp_path / "local", place)
    for part in ("vectors/c", "final/c"):
        shutil.rmtree(place / part)
    open_store(place, "r+").group.attrs["done"] = 0
    job = window_job(plan, texts, place, open_store(place, "r+"))
    assert job.recruit is not None
    tally = Engine("ray").run(replace(job, recruit=Meeting(job.recruit, str(tmp_path / "meeting"))))
    assert len(tally.by_worker) == 2
    extract(plan, ids, texts, place)  # declares finished what is there
    assert files(place) == files(tmp_path / "local")


def test_the_vectors_of_hybrids_are_those_of_one_process(
    nodes: Callable[[], list[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Transplants and their random changes, of texts in several windows; what one run computed, no other repeats."""
    monkeypatch.setattr(vectors, "WINDOW", 8)
    nodes()
    folders = [save_toy("bert", tmp_path / str(seed), seed=seed) for seed in (0, 1)]
    before, after = (load_encoder(folder, LoadSettings(pooling="mean")) for folder in folders)
    texts = TowerTexts(before, tuple(map(str, range(len(TEXTS)))), tokenise(before, TEXTS), tokens=64)
    keys = [(0, "none"), (1, "block:1"), (1, "random:0:block:1"), (0, "attention")]
    local = hybrid_vectors((before, after), texts, keys, tmp_path / "local", lambda n: None)
    reported: list[int] = []
    engine = Engine("ray", workers=2)
    ray = hybrid_vectors((before, after), texts, keys, tmp_path / "ray", reported.append, engine=engine)
    for key, vectors_of in local.items():
        assert np.array_equal(ray[key], vectors_of)
    assert sum(reported) == len(TEXTS)
    made = {name: content for name, content in files(tmp_path / "ray").items() if name.endswith(".npy")}
    assert made == {name: content for name, content in files(tmp_path / "local").items() if name.endswith(".npy")}
    assert len(made) == 8
    assert not list((tmp_path / "ray").rglob(RECORDS)), "completion records are for the run alone"
    damaged = next((tmp_path / "ray").rglob("00003.npy"))
    damaged.write_bytes(damaged.read_bytes()[:-40])
    again: list[int] = []
    hybrid_vectors((before, after), texts, keys, tmp_path / "ray", again.append, engine=engine)
    assert damaged.read_bytes() == made[str(damaged.relative_to(tmp_path / "ray"))], "only what is damaged is mended"
    assert sum(again) == len(TEXTS)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_killed_node_loses_nothing(cluster: Any, nodes: Callable[[], list[Any]], tmp_path: Path) -> None:
    _, second = nodes()
    job, ended = copying(tmp_path, 30, seconds=0.2, meet=2), threading.Event()

    def kill() -> None:
        while job.ledger.records() < 6 and not ended.wait(0.1):
            pass
        cluster.remove_node(second, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        tally = Engine("ray", workers=2).run(job)
    finally:
        ended.set()
        killer.join()
    assert len(tally.lost) == 1
    assert tally.done + tally.kept == 30 * SIZE  # kept: written by the lost worker, which did not live to report it
    LOCAL.run(copying(tmp_path / "local", 30))
    assert written(tmp_path) == written(tmp_path / "local")


def test_a_shard_that_kills_its_worker_is_done_by_another(nodes: Callable[[], list[Any]], tmp_path: Path) -> None:
    nodes()
    tally = Engine("ray").run(copying(tmp_path, 8, deadly=(3,)))
    assert (tally.done + tally.kept, len(tally.lost)) == (8 * SIZE, 1)
    assert "3" in tally.retried


def test_what_fails_is_named_the_rest_is_done_and_the_next_run_mends_it(
    nodes: Callable[[], list[Any]], tmp_path: Path
) -> None:
    nodes()
    with pytest.raises(EngineError) as caught:
        Engine("ray").run(copying(tmp_path, 10, broken=(2,), needs={7: 2}))
    assert "2 shards (pieces of the work) failed in every attempt; all other shards are done" in str(caught.value)
    assert "- 2: 3 attempts, the last: OSError: no space left for 2" in str(caught.value)
    assert "- 7: needs shard 2, which is missing" in str(caught.value)
    assert sorted(written(tmp_path)) == [str(i) for i in range(10) if i not in (2, 7)]
    (tmp_path / "mended").touch()
    tally = Engine("ray").run(copying(tmp_path, 10, broken=(2,), needs={7: 2}))
    assert (tally.done, tally.kept) == (2 * SIZE, 8 * SIZE)
    assert len(written(tmp_path)) == 10


def test_a_mixed_cluster_is_refused(nodes: Callable[[], list[Any]], tmp_path: Path) -> None:
    nodes()
    with pytest.raises(
        EngineError,
        match=r"the nodes of the cluster differ: worker \d on \S+ has device 'node (.|\n)*nodes with the same kind",
    ):
        Engine("ray", workers=2).run(copying(tmp_path, 40, seconds=0.2, by_node=True))


DRIVER = """
import sys
from pathlib import Path
from ray_work import copying
from retroscope.engine.choice import Engine
Engine("ray", address=sys.argv[2]).run(copying(Path(sys.argv[1]), 30, seconds=0.2))
"""


def test_a_killed_driver_is_resumed(cluster: Any, nodes: Callable[[], list[Any]], tmp_path: Path) -> None:
    nodes()
    ledger = Ledger(Storage(str(tmp_path)))
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, tmp_path, cluster.address], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while ledger.records() < 5 and time.monotonic() < deadline and driver.poll() is None:
            time.sleep(0.1)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    before = ledger.records()
    assert 5 <= before < 30
    tally = Engine("ray").run(copying(tmp_path, 30))
    assert tally.kept >= before * SIZE
    assert tally.kept + tally.done == 30 * SIZE
    assert len(written(tmp_path)) == 30


OWN_CLUSTER = """
import sys
from pathlib import Path
from ray_work import copying
from retroscope.cli.exit_codes import stopping
from retroscope.engine.choice import Engine
with stopping() as stop:
    try:
        Engine("ray", workers=1).run(copying(Path(sys.argv[1]), 200, seconds=0.1))
    except KeyboardInterrupt:
        sys.exit(stop.code)
"""


def test_a_scheduler_ends_a_cluster_of_our_own_as_it_ends_any_run(environment: None, tmp_path: Path) -> None:
    ledger = Ledger(Storage(str(tmp_path)))
    driver = subprocess.Popen([sys.executable, "-c", OWN_CLUSTER, tmp_path], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while ledger.records() < 2 and time.monotonic() < deadline and driver.poll() is None:
            time.sleep(0.1)
        cluster = psutil.Process(driver.pid).children(recursive=True)
        driver.terminate()
        assert driver.wait(60) == TERMINATED  # Ray's own handler made 15 of it
    finally:
        driver.kill()
    assert 2 <= ledger.records() < 200
    assert cluster
    assert not psutil.wait_procs(cluster, 60)[1]
