"""Search with the vectors of every layer beside faiss on the same arrays in memory, and its memory.

    python benchmarks/search.py --state DIR                                  # 200,000 passages, 7 layers of 384
    python benchmarks/search.py --state DIR --passages 1000000 --dim 128     # 16 GB of disk for 384

The vectors are made up (normal draws, the worst case for the store's compression) and stored as an extraction stores
them. faiss searches half of the layers before ours and half after it, each read into memory first, which is not
counted; ours reads the store, searches all layers in one pass, and scores the best passages exactly. Times are
processor time on one thread. Memory is the peak of a process that does nothing else.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

import faiss
import numpy as np

from retroscope.representations.layout import create_arrays
from retroscope.representations.store import open_store
from retroscope.representations.vectors import Representations
from retroscope.retrieval.search import search_layers

WINDOW = 256  # texts of a shard, the most that an extraction takes
DEPTH = 100  # passages kept for each query: what R@100 reads
FEW = 2_600  # passages of the small collection that memory is compared with


def main() -> None:
    """Make the store, time both, and measure the memory of ours."""
    args = _arguments()
    if args.peak_of:
        peak(args.peak_of, args)
        return
    print(f"{platform.platform()}, {_processor()}; one thread, load {os.getloadavg()[0]:.1f}")
    folder = made(args.state, args.passages, args.layers, args.dim)
    reading(folder)
    rates(folder, args)
    for n in (FEW, args.passages):
        memory(made(args.state, n, args.layers, args.dim), n, args)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path, required=True, help="folder of the stores, kept for the next run")
    parser.add_argument("--passages", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=2_000)
    parser.add_argument("--layers", type=int, default=7)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--similarity", default="cosine")
    parser.add_argument("--peak-of", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [row.split(":")[1].strip() for row in info.read_text().splitlines() if row.startswith("model name")]
    return f"{names[0]} x {len(names)}" if names else platform.processor()


def made(state: Path, n: int, layers: int, dim: int) -> Path:
    """Return the folder of a store of made-up vectors, made where it is not there."""
    folder = state / f"{n}x{layers}x{dim}.zarr"
    if folder.exists():
        return folder
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    attrs = {"key": "made up", "done": n, "layer_names": [str(k) for k in range(layers)], "recipe": {}}
    shapes = ((n, layers, dim), (n, dim))
    create_arrays(part, shapes=shapes, window=min(n, WINDOW), dtype="float32", attrs=attrs)
    store, draw = open_store(part, "r+"), np.random.default_rng(0)
    for start in range(0, n, WINDOW):
        vectors = draw.standard_normal((min(WINDOW, n - start), layers, dim), dtype=np.float32)
        store.vectors[start : start + WINDOW], store.final[start : start + WINDOW] = vectors, vectors[:, -1]
    return part.rename(folder)


def opened(folder: Path) -> Representations:
    """Open a store with ids whose order is not that of the rows."""
    store = open_store(folder)
    return Representations([f"p{i}" for i in range(store.vectors.shape[0])], store)


def questions(args: argparse.Namespace) -> list[np.ndarray]:
    """Draw the vectors of the queries at every layer."""
    draw = np.random.default_rng(1)
    return [draw.standard_normal((args.queries, args.dim), dtype=np.float32) for _ in range(args.layers)]


def timed(job: Callable[[], object]) -> tuple[float, float]:
    """Return (processor time, wall time) of a job in seconds."""
    wall, work = perf_counter(), process_time()
    job()
    return process_time() - work, perf_counter() - wall


# ---- time


def rates(folder: Path, args: argparse.Namespace) -> None:
    """Time ours on all layers, and faiss on half of them before and on half after."""
    faiss.omp_set_num_threads(1)
    vectors, asked = opened(folder), questions(args)
    half = args.layers // 2
    theirs = sum(_faiss(vectors, asked, k) for k in range(half))
    work, wall = timed(lambda: search_layers(asked, vectors, DEPTH, similarity=args.similarity))
    theirs += sum(_faiss(vectors, asked, k) for k in range(half, args.layers))
    flop = 2 * args.queries * args.passages * args.dim * args.layers
    print(f"{args.passages:,} x {args.dim}, {args.layers} layers, {args.queries:,} queries, {args.similarity}")
    print(f"  faiss on arrays in memory  {theirs:7.1f} s of processor time ({flop / theirs / 1e9:.0f} GFLOP/s)")
    print(f"  ours from the store        {work:7.1f} s of processor time, {wall:.1f} s of wall time")
    print(f"  ours at {theirs / work:.2f} of faiss's rate", flush=True)


def _faiss(vectors: Representations, asked: list[np.ndarray], layer: int) -> float:
    array = vectors.layer(layer)
    return timed(lambda: faiss.knn(asked[layer], array, DEPTH, metric=faiss.METRIC_INNER_PRODUCT))[0]


def reading(folder: Path) -> None:
    """Compare reading the vectors through the store with reading the bytes of its files."""
    files = sorted(path for path in (folder / "vectors" / "c").rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in files)
    vectors = opened(folder)
    held = vectors.store.vectors
    turns: dict[str, list[tuple[float, float]]] = {"files": [], "store": []}
    for _ in range(2):
        _forget(files)
        turns["files"].append(timed(lambda: [np.fromfile(path, np.uint8).size for path in files]))
        _forget(files)
        turns["store"].append(timed(lambda: [[*map(len, block)] for block in vectors.layer_blocks()]))
    raw, ours = (min(wall for _, wall in turns[name]) for name in ("files", "store"))
    decoding = min(work for work, _ in turns["store"])
    numbers = held.size * held.dtype.itemsize
    print(f"reading {size / 1e9:.2f} GB that no cache holds ({size / numbers:.3f} of the numbers' own bytes)")
    print(f"  np.fromfile of the files   {size / raw / 1e6:7.0f} MB/s of wall time")
    print(f"  the store, block by block  {size / ours / 1e6:7.0f} MB/s: {raw / ours:.2f} of the disk's rate")
    print(f"  decoding and checksums     {size / decoding / 1e6:7.0f} MB/s of processor time", flush=True)


def _forget(files: list[Path]) -> None:
    """Drop files from the page cache, where the system can."""
    for path in files:
        handle = os.open(path, os.O_RDONLY)
        if hasattr(os, "posix_fadvise"):
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


# ---- memory


def memory(folder: Path, n: int, args: argparse.Namespace) -> None:
    """Print the peak memory of a process that searches."""
    options = ("queries", "layers", "dim", "similarity")
    command = [sys.executable, __file__, "--state", str(args.state), "--peak-of", str(folder)]
    command += [word for name in options for word in (f"--{name}", str(getattr(args, name)))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    print(f"  peak memory of the search of {n:>9,} passages {done.stdout.strip()}", flush=True)


def peak(folder: Path, args: argparse.Namespace) -> None:
    """Search in this process, and print what it held before and at most."""
    faiss.omp_set_num_threads(1)
    vectors, asked = opened(folder), questions(args)
    before = _resident("VmRSS")
    search_layers(asked, vectors, DEPTH, similarity=args.similarity)
    print(f"{_resident('VmHWM'):6.0f} MiB ({before:.0f} of them before: modules, ids and queries)")


def _resident(name: str) -> float:
    rows = Path("/proc/self/status").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith(name)) / 2**10


if __name__ == "__main__":
    main()
