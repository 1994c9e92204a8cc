"""Layer vectors beside the published way of making them, beside sentence-transformers, and their memory and rate.

    python benchmarks/embed.py --model MODEL --data beir:FOLDER

Everything is timed in one process, turn by turn, so that the ratios hold on a busy machine; they are of processor
time (all threads), with wall time beside it. Reading the checkpoint and mining negatives are not counted; tokenising
and writing to disk are.
"""

import argparse
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from retroscope.collection.collection import Collection
from retroscope.collection.loading import load_collection
from retroscope.collection.negatives import hard_negatives
from retroscope.encoders.encode import encode_rows
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.encoders.pooling import pooling
from retroscope.encoders.token_budgets import encoding_budget
from retroscope.encoders.work import operations
from retroscope.representations.extraction import extract
from retroscope.representations.plan import plan_extraction
from retroscope.representations.settings import ExtractionSettings

BATCH = 32  # of the published code
LENGTHS = {"query": 128, "passage": 512}  # every text is padded to these
RATED = (16, 32, 64, 128, 256)  # tokens of a text whose rate is compared with matrix products
RATED_TOKENS = 16_384  # of all texts of one length
SIZES = (2, 3, 4, 5)  # passages of a choice; each size is encoded anew

# glibc keeps freed memory in an arena for each thread, which grows by some 5 % over the first 20 windows and then
# stays; told to give it back, what is measured is what the program holds.
ALLOCATOR = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": str(2**20)}

Texts = dict[str, list[str]]  # tower -> texts


@dataclass
class Clock:
    """Seconds of each turn."""

    work: list[float]
    wall: list[float]

    def time(self, job: Callable[[], object]) -> None:
        """Run a job and note what it took."""
        wall, work = perf_counter(), process_time()
        job()
        self.work.append(process_time() - work)
        self.wall.append(perf_counter() - wall)


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    if args.peak_of:
        print(peak_megabytes(args.model, args.peak_of))
        return
    if args.rates:
        compare_products(load_retriever(args.model).passage)
        return
    data, retriever = load_collection(args.data), load_retriever(args.model)
    compare_published(retriever, data, args.queries, args.candidates)
    compare_library(retriever, data, args)
    compare_memory(args)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a sentence-transformers checkpoint")
    parser.add_argument("--data", default="", help="a collection, e.g. beir:FOLDER")
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--candidates", type=int, default=5)
    parser.add_argument("--texts", type=int, default=600, help="passages, and as many queries, for the library")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--corpora", type=int, nargs=2, default=(2_000, 20_000), help="passages, for the memory")
    parser.add_argument("--rates", action="store_true", help="only compare with the rate of matrix products")
    parser.add_argument("--peak-of", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


# ---- against the published way


def compare_published(retriever: Retriever, data: Collection, queries: int, candidates: int) -> None:
    """All N of the published study, each once, with one run of ours before each."""
    choices = choice_texts(data, queries, candidates)
    ours, theirs = Clock([], []), Clock([], [])
    sizes = [n for n in SIZES if n <= candidates]
    for n in sizes:
        ours.time(lambda: extract_towers(retriever, flat(choices, candidates)))
        theirs.time(lambda n=n: published(retriever, flat(choices, n)))
    print(
        f"\n{len(choices)} queries with {candidates} candidates, all layers; pooling {retriever.query.recipe.pooling}"
    )
    line("ours (each distinct text once, stored)", median(ours.work), median(ours.wall))
    line(f"published, N={sizes[-1]} only", theirs.work[-1], theirs.wall[-1], median(ours.work))
    line(f"published, N={sizes[0]}..{sizes[-1]}", sum(theirs.work), sum(theirs.wall), median(ours.work))


def choice_texts(data: Collection, queries: int, candidates: int) -> list[tuple[str, list[str]]]:
    """(query, its relevant passage and hard negatives) for the first queries that have enough of them."""
    mined = hard_negatives(data, candidates - 1).candidates
    full = (c for c in mined if len(c.negatives) == candidates - 1)
    return [
        (data.queries[c.query_id].text, [data.passage_text(p) for p in (c.positive, *c.negatives)])
        for c in islice(full, queries)
    ]


def flat(choices: Sequence[tuple[str, list[str]]], n: int) -> Texts:
    """The rows of a training file of that N, repeats and all."""
    return {"query": [q for q, _ in choices], "passage": [p for _, near in choices for p in near[:n]]}


@torch.inference_mode()
def published(retriever: Retriever, texts: Texts) -> None:
    """Encode every row, padded to the fixed length, in batches of 32; pool each layer; store the batches."""
    with TemporaryDirectory() as folder:
        for tower, rows in texts.items():
            encoder = retriever.tower(tower)
            for start in range(0, len(rows), BATCH):
                vectors = padded_vectors(encoder, rows[start : start + BATCH], LENGTHS[tower])
                np.save(f"{folder}/{tower}-{start}.npy", vectors)


def padded_vectors(encoder: Encoder, texts: Sequence[str], length: int) -> np.ndarray:
    inputs = encoder.tokenizer(
        list(texts), padding="max_length", truncation=True, max_length=length, return_tensors="pt"
    )
    mask = inputs["attention_mask"]
    hidden = encoder.backbone(
        input_ids=inputs["input_ids"], attention_mask=mask, output_hidden_states=True
    ).hidden_states
    pool = pooling(encoder.recipe.pooling)
    return torch.stack([pool(layer, mask.bool()) for layer in hidden], dim=1).numpy()


def extract_towers(retriever: Retriever, texts: Texts) -> None:
    with TemporaryDirectory() as folder:
        for tower, rows in texts.items():
            store(retriever.tower(tower), rows, Path(folder) / tower)


def store(encoder: Encoder, texts: Sequence[str], folder: Path) -> None:
    extraction = plan_extraction(encoder, texts, ExtractionSettings())
    extract(extraction, [str(i) for i in range(len(texts))], texts, folder)


# ---- against sentence-transformers


def compare_library(retriever: Retriever, data: Collection, args: argparse.Namespace) -> None:
    """All layers, stored, against the library's final vectors in memory, of the same texts."""
    library = SentenceTransformer(args.model, device="cpu")
    passages = [data.passage_text(i) for i in islice(data.passages, args.texts)]
    texts = passages + [q.text for q in islice(data.queries.values(), args.texts)]
    ours, theirs = Clock([], []), Clock([], [])
    for _ in range(args.repeats):
        ours.time(lambda: extract_towers(retriever, {"passage": texts}))
        theirs.time(lambda: library.encode(texts, batch_size=BATCH))
    print(f"\n{len(texts)} texts; padded tokens in batches of {plan_tokens(retriever.passage, texts)}")
    line("ours (all layers, stored)", median(ours.work), median(ours.wall))
    line("SentenceTransformer.encode (final vectors)", median(theirs.work), median(theirs.wall), median(ours.work))


def plan_tokens(encoder: Encoder, texts: Sequence[str]) -> int:
    return plan_extraction(encoder, texts[:1], ExtractionSettings()).tokens


# ---- against the processor


def compare_products(encoder: Encoder) -> None:
    """Operations of encoding a second, as a share of those of float32 products that are timed before and after."""
    draw = torch.Generator().manual_seed(0)
    print(f"\n{encoder.name}: share of the rate of float32 matrix products, {torch.get_num_threads()} threads")
    for length in RATED:
        rows = torch.randint(len(encoder.tokenizer), (max(1, RATED_TOKENS // length), length), generator=draw).tolist()
        encode_rows(encoder, rows[:1], encoding_budget(encoder.device))
        shares = [_share(encoder, rows) for _ in range(3)]
        print(f"  {length:4} tokens a text: {median(shares):.2f} ({min(shares):.2f} to {max(shares):.2f})", flush=True)


def _share(encoder: Encoder, rows: list[list[int]]) -> float:
    before, start = product_rate(), process_time()
    encode_rows(encoder, rows, encoding_budget(encoder.device))
    rate = operations(encoder, [len(row) for row in rows]) / (process_time() - start)
    return 2 * rate / (before + product_rate())


def product_rate(size: int = 1024, times: int = 20) -> float:
    """Operations of a float32 product of square matrices per second of processor time."""
    one, two = torch.randn(2, size, size)
    start = process_time()
    for _ in range(times):
        one @ two
    return 2 * size**3 * times / (process_time() - start)


# ---- memory


def compare_memory(args: argparse.Namespace) -> None:
    """Peak memory of a process that extracts a small and a large corpus of short passages."""
    print(f"\npeak memory of a process, {' and '.join(f'{n:,}' for n in args.corpora)} short passages")
    peaks = [measured_peak(args, n) for n in args.corpora]
    for n, megabytes in zip(args.corpora, peaks, strict=True):
        print(f"  {n:>9,} passages {megabytes:8.1f} MiB")
    extra = (peaks[1] - peaks[0]) * 2**20 / (args.corpora[1] - args.corpora[0])
    print(f"  difference {peaks[1] - peaks[0]:+.1f} MiB, {extra:.0f} bytes a passage")


def measured_peak(args: argparse.Namespace, n: int) -> float:
    command = [sys.executable, __file__, "--model", str(args.model), "--peak-of", str(n), "--threads", "1"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **ALLOCATOR})
    return float(done.stdout.splitlines()[-1])


def peak_megabytes(model: str, n: int) -> float:
    """Extract `n` passages, streamed, and say what this process held at most."""

    class Stream:
        def __iter__(self) -> Iterator[str]:
            return (f"passage {i} of a long book" for i in range(n))

    encoder = load_retriever(model).passage
    with TemporaryDirectory() as folder:
        extraction = plan_extraction(encoder, Stream(), ExtractionSettings())
        extract(extraction, range(n), Stream(), Path(folder) / "v")
    return peak_of_this_process()


def peak_of_this_process() -> float:
    """MiB. On Linux a child's `ru_maxrss` starts at its parent's, so it is read from /proc there."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(row.split()[1]) for row in status.read_text().splitlines() if row.startswith("VmHWM")) / 2**10
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes / (2**20 if sys.platform == "darwin" else 2**10)


def line(name: str, work: float, wall: float, ours: float | None = None) -> None:
    ratio = "" if ours is None else f"{work / ours:8.1f} x ours"
    print(f"  {name:44} {work:8.2f} s of processor time, {wall:8.2f} s of wall time{ratio}", flush=True)


if __name__ == "__main__":
    main()
