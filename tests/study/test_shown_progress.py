"""In a notebook, every long function of the API shows what it does; a caller that shows progress speaks for it."""

import gzip
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import retroscope
from retroscope.analyses.neurons.settings import NeuronAblationSettings
from retroscope.attribution.settings import AttributionSettings
from retroscope.collection.collection import Collection
from retroscope.display import shown
from retroscope.encoders.encoder import Retriever
from retroscope.probing.settings import ProbeSettings
from retroscope.progress import listens
from retroscope.representations.represent import represent
from retroscope.representations.vectors import RetrieverRepresentations
from tiny_study import Tiny

PROBES = ProbeSettings(probes=("cosine",), controls=("none",), passages=(2,), seeds=1)
ATTRIBUTION = AttributionSettings(limit=2, quadrature="gauss:1")
ABLATION = NeuronAblationSettings(fractions=(0.1,), draws=1)


@pytest.fixture(scope="module")
def before(backbone: Retriever, collection: Collection, cache: Path) -> RetrieverRepresentations:
    return represent(backbone, collection, cache)


@pytest.fixture(scope="module")
def after(retriever: Retriever, collection: Collection, cache: Path) -> RetrieverRepresentations:
    return represent(retriever, collection, cache)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """Return a function that returns the stages that a notebook has shown by then."""
    monkeypatch.setitem(sys.modules, "ipykernel", sys)

    def stages() -> list[str]:
        written = capsys.readouterr().err
        return list(dict.fromkeys(line.partition(":")[0] for line in written.replace("\r", "\n").split("\n") if line))

    return stages


def test_vectors_are_searched_probed_and_compared(
    before: RetrieverRepresentations,
    after: RetrieverRepresentations,
    collection: Collection,
    lines: Callable[[], list[str]],
) -> None:
    retroscope.retrieve(after, collection)
    assert lines() == ["searching"]
    retroscope.retrieve_layers(after, collection)
    assert lines() == ["searching all layers"]
    candidates = retroscope.hard_negatives(collection, 20).candidates
    assert lines() == ["BM25 index of collection", "hard negatives of collection"]
    retroscope.probe(after, candidates, PROBES)
    assert lines() == ["probing"]
    retroscope.representation_drift(before, after)
    assert lines() == ["drift by layer"]
    retroscope.retrieve(after, collection, progress=False)
    assert lines() == []


def test_weights_and_neurons_are_measured(
    tiny: Tiny, retriever: Retriever, collection: Collection, lines: Callable[[], list[str]]
) -> None:
    retroscope.diff(tiny.backbone, tiny.retriever)
    assert lines() == ["tensors"]
    attribution = retroscope.attribute(retriever, collection, ATTRIBUTION)
    assert lines() == ["BM25 index of collection", "hard negatives of collection", "neurons"]
    retroscope.ablation_curves(retriever, collection, attribution, ABLATION)
    assert lines() == ["encoding under ablation"], "searches of the ablation show nothing of their own"


def test_a_callback_of_one_stage_is_told_of_that_stage_only(
    retriever: Retriever, collection: Collection, lines: Callable[[], list[str]]
) -> None:
    calls: list[tuple[int, int]] = []
    retroscope.attribute(retriever, collection, ATTRIBUTION, progress=lambda *call: calls.append(call))
    assert calls == [(0, 2), (2, 2)]
    assert lines() == []


def test_the_index_of_bm25_is_reported_to_the_caller_that_shows_progress(collection: Collection) -> None:
    calls: list[tuple[str, int, int]] = []
    with shown(lambda *call: calls.append(call)):
        retroscope.hard_negatives(collection, 1)
    assert calls[0] == ("BM25 index of collection", 180, 180)
    assert calls[1:] == [("hard negatives of collection", done, 90) for done in range(1, 91)]
    with shown(lambda *call: calls.append(call)), shown(False):
        assert listens() is None
    assert listens() is None


def test_the_reading_of_large_files_is_shown(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: Callable[[], list[str]]
) -> None:
    retroscope.load_collection(tiny.data)
    assert lines() == [], "these are small"
    monkeypatch.setattr("retroscope.files.reading.MEGABYTE", 1000)
    monkeypatch.setattr("retroscope.files.reading.REPORTED", 5000)
    retroscope.load_collection(tiny.data)
    assert lines() == ["reading corpus.jsonl, MB", "reading queries.jsonl, MB"]
    packed = shutil.copytree(tiny.collection, tmp_path / "packed")
    plain = (packed / "corpus.jsonl").read_bytes()
    (packed / "corpus.jsonl").unlink()
    (packed / "corpus.jsonl.gz").write_bytes(gzip.compress(plain, compresslevel=0))
    calls: list[tuple[str, int, int]] = []
    with shown(lambda *call: calls.append(call)):
        collection = retroscope.load_collection(f"beir:{packed}")
    assert collection.passages == retroscope.load_collection(tiny.data).passages
    corpus = [(done, total) for what, done, total in calls if what == "reading corpus.jsonl.gz, MB"]
    assert [done for done, _ in corpus] == sorted({done for done, _ in corpus})
    size = (packed / "corpus.jsonl.gz").stat().st_size // 1000
    assert corpus[-1] == (size, size)
