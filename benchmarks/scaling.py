"""What a study of a large collection takes: bytes, operations, hours; how it scales; and the check on this machine.

    python benchmarks/scaling.py                      # the tables of docs/scaling.md
    python benchmarks/scaling.py --driver MODEL       # what the driver does a second, in processor time
    python benchmarks/scaling.py --measure MODEL      # on a QUIET machine: 1 and 2 workers, against the simulation

The tables are arithmetic and a simulation, from the constants below; only `--driver` and `--measure` measure anything.
"""

import argparse
import heapq
import math
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

TOKENS_PER_WORD = 1.35  # of English under a WordPiece vocabulary of 30,000 or a BPE one of 32,000; an assumption
SPECIAL_TOKENS = 2


@dataclass(frozen=True)
class Collection:
    """Passages, and words of a mean one (BEIR, arXiv 2104.08663, table 1)."""

    name: str
    passages: int
    words: float

    @property
    def tokens(self) -> float:
        """Tokens of a mean passage."""
        return self.words * TOKENS_PER_WORD + SPECIAL_TOKENS


@dataclass(frozen=True)
class Model:
    """What bytes and operations follow from; `normed`: layers below the last are stored with the final norm, too."""

    name: str
    blocks: int
    width: int
    block_weights: float
    normed: bool

    def numbers(self, *, all_layers: bool) -> int:
        """Numbers stored of one text: all layers and the final vector, or the final vector alone."""
        layers = (2 * self.blocks + 1 if self.normed else self.blocks + 1) if all_layers else 0
        return (layers + 1) * self.width

    def operations(self, tokens: float) -> float:
        """Operations of one text, as `retroscope.encoders.work` counts them."""
        return 2.0 * self.block_weights * tokens + 4.0 * self.blocks * self.width * tokens**2


@dataclass(frozen=True)
class Device:
    """Operations a second that encoding reaches: the peak times the share of it.

    The share of the processor is measured (docs/benchmarks.md); those of GPUs are assumptions.
    """

    name: str
    peak: float
    share: float

    @property
    def rate(self) -> float:
        """Operations a second."""
        return self.peak * self.share


COLLECTIONS = (
    Collection("NQ", 2_681_468, 78.88),
    Collection("MS MARCO", 8_841_823, 55.98),
    Collection("a billion passages", 1_000_000_000, 80.0),
)
MODELS = (
    Model("BERT-base", 12, 768, 12 * 12 * 768**2, normed=False),
    Model("7B (Mistral type)", 32, 4096, 32 * (2 * 4096**2 + 2 * 4096 * 1024 + 3 * 4096 * 14336), normed=True),
)
DEVICES = (
    Device("2 processor cores, float32", 200e9, 0.87),
    Device("A100, bfloat16", 312e12, 0.40),
    Device("H100, bfloat16", 989e12, 0.40),
)
WINDOW_BYTES, WINDOW_TEXTS, ON_GPU = 64 * 2**20, (32, 256), 8  # as representations/plan.py


def window(model: Model, *, all_layers: bool, itemsize: int, gpu: bool) -> int:
    """Texts of a shard, as `plan_inventory` chooses them."""
    row = model.numbers(all_layers=all_layers) * itemsize
    return max(WINDOW_TEXTS[0], min(WINDOW_BYTES // row, WINDOW_TEXTS[1] * (ON_GPU if gpu else 1)))


@dataclass(frozen=True)
class Fleet:
    """What a simulation needs to know; times in seconds.

    Attributes:
        compute: of one shard, on one worker.
        write: of one shard, by one worker that has the storage for itself.
        storage: shards a second that the storage takes from all workers together.
        hand_out: of the driver, for one shard: reading its texts, sending them, taking the report.
        load: from the start of a worker until it has its model.
        lifetime: mean time until a worker is lost; infinite: never.
        jitter: standard deviation of the logarithm of the computing time.
    """

    compute: float
    write: float
    storage: float
    hand_out: float
    load: float
    lifetime: float = float("inf")
    jitter: float = 0.05


def simulate(fleet: Fleet, shards: int, workers: int, seed: int = 0) -> float:
    """Return the seconds of a run: each worker writes one shard while it computes the next; lost shards are repeated.

    One driver hands out; one storage takes what is written. A worker that is lost loses what it computes and writes,
    and is back after `load`.
    """
    draw = random.Random(seed)
    driver = storage = 0.0
    written = [0.0] * workers  # when each worker's last shard is on storage

    def life() -> float:
        return draw.expovariate(1 / fleet.lifetime) if math.isfinite(fleet.lifetime) else math.inf

    dies = [fleet.load + life() for _ in range(workers)]
    free = [(fleet.load, worker) for worker in range(workers)]
    heapq.heapify(free)
    left, end = shards, 0.0
    while left:
        now, worker = heapq.heappop(free)
        driver = max(driver, now) + fleet.hand_out
        computed = max(driver, now) + fleet.compute * draw.lognormvariate(0.0, fleet.jitter)
        begin = max(computed, written[worker], storage)
        storage = begin + 1 / fleet.storage
        done = begin + max(fleet.write, 1 / fleet.storage)
        if done > dies[worker]:  # lost with what it had: the shard goes back to the queue
            back = dies[worker] + fleet.load
            dies[worker] = back + life()
            written[worker] = back
            heapq.heappush(free, (back, worker))
            continue
        left -= 1
        written[worker] = done
        end = max(end, done)
        heapq.heappush(free, (max(computed, begin), worker))  # at most one shard waits to be written
    return end


def human(n_bytes: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} PB"


def sizes() -> Iterator[str]:
    """The table of bytes."""
    kinds = "all layers, float32 | all layers, float16 | final vectors, float16 | all layers of one text, float32"
    yield f"| model | collection | {kinds} |"
    yield "|---|---|---|---|---|---|"
    for model in MODELS:
        for collection in COLLECTIONS:
            whole, final = model.numbers(all_layers=True), model.numbers(all_layers=False)
            cells = [human(collection.passages * n) for n in (4 * whole, 2 * whole, 2 * final)]
            yield f"| {model.name} | {collection.name} | {' | '.join(cells)} | {human(4 * whole)} |"


def hours() -> Iterator[str]:
    """The table of operations and hours of one device."""
    yield f"| model | collection | operations | {' | '.join(device.name for device in DEVICES)} |"
    yield f"|---|---|---|{'---|' * len(DEVICES)}"
    for model in MODELS:
        for collection in COLLECTIONS:
            work = model.operations(collection.tokens) * collection.passages
            cells = [f"{work / device.rate / 3600:,.3g} h" for device in DEVICES]
            yield f"| {model.name} | {collection.name} | {work:.2e} | {' | '.join(cells)} |"


def writing() -> Iterator[str]:
    """The table of what one GPU writes."""
    yield "| model | texts a second of one H100 | all layers, float32 | all layers, float16 | final vectors, float16 |"
    yield "|---|---|---|---|---|"
    for model in MODELS:
        rate = DEVICES[2].rate / model.operations(COLLECTIONS[1].tokens)
        numbers = (4 * model.numbers(all_layers=True), 2 * model.numbers(all_layers=True), 2 * model.width)
        yield f"| {model.name} | {rate:,.0f} | {' | '.join(f'{human(rate * n)}/s' for n in numbers)} |"


STORAGE_BYTES = 5e9  # a second, all workers together; an assumption
WORKER_BYTES = 1e9  # a second, one worker; an assumption
INVENTORY_TEXTS = 10_000  # a second that one thread tokenises before the start: `--driver`, 56 words a text
SENT_TEXTS = 4e6  # a second that the driver reads and packs: `--driver`
CALL = 1e-3  # seconds of one call through Ray; an assumption
LOAD, LIFETIME = 120.0, 24 * 3600.0  # seconds; assumptions
WORKERS = (1, 2, 8, 64, 256, 1000)


def fleet_of(model: Model, collection: Collection, *, all_layers: bool) -> tuple[Fleet, int]:
    """An H100 for each worker, float16, MS MARCO's storage; and the number of shards."""
    texts = window(model, all_layers=all_layers, itemsize=2, gpu=True)
    shard = texts * model.numbers(all_layers=all_layers) * 2
    compute = texts * model.operations(collection.tokens) / DEVICES[2].rate
    hand_out = CALL + texts / SENT_TEXTS
    fleet = Fleet(compute, shard / WORKER_BYTES, STORAGE_BYTES / shard, hand_out, LOAD, LIFETIME)
    return fleet, -(-collection.passages // texts)


def scaling() -> Iterator[str]:
    """The table of the simulation: hours after the inventory, and the share of what no limit would allow."""
    yield f"| float16, H100 | inventory | {' | '.join(f'{n:,}' for n in WORKERS)} |"
    yield f"|---|---|{'---|' * len(WORKERS)}"
    cases = [(model, COLLECTIONS[1], kept) for model in MODELS for kept in (True, False)]
    for model, collection, all_layers in [*cases, (MODELS[1], COLLECTIONS[2], False)]:
        fleet, shards = fleet_of(model, collection, all_layers=all_layers)
        cells = [f"{collection.passages / INVENTORY_TEXTS / 3600:.2g} h"]
        for workers in WORKERS:
            seconds = simulate(fleet, shards, workers)
            cells.append(f"{seconds / 3600:.3g} h ({shards * fleet.compute / workers / seconds:.2f})")
        kept = "all layers" if all_layers else "final only"
        yield f"| {model.name}, {collection.name}, {kept} | {' | '.join(cells)} |"


def driver(model: str, texts: int = 40_000) -> None:
    """Measure in processor time what the driver does for a text: the inventory, then reading and packing windows."""
    import pickle

    from retroscope.encoders.loading import load_encoder
    from retroscope.encoders.settings import LoadSettings
    from retroscope.representations.inventory import take_inventory
    from retroscope.representations.plan import plan_inventory
    from retroscope.representations.settings import ExtractionSettings
    from retroscope.representations.windows import window_shards

    draw = random.Random(0)
    words = Path(__file__).read_text(encoding="utf-8").split()
    corpus = [" ".join(draw.choice(words) for _ in range(56)) for _ in range(texts)]
    encoder = load_encoder(model, LoadSettings(pooling="mean"))
    start = time.process_time()
    inventory = take_inventory(encoder, corpus)
    taken = time.process_time()
    plan = plan_inventory(encoder, inventory, ExtractionSettings())
    planned = time.process_time()
    size = sum(len(pickle.dumps(shard)) for shard in window_shards(plan, corpus, "nowhere"))
    packed = time.process_time() - planned
    print(
        f"inventory {texts / (taken - start):,.0f} texts a second, packing {texts / packed:,.0f}; {size / texts:.0f} B"
    )


@dataclass(frozen=True)
class Measured:
    """One run: seconds from the first worker's arrival to the end, and of what was done."""

    seconds: float
    compute: float
    write: float
    load: float
    shards: int


def measure(model: str, texts: int, rounds: int) -> None:
    """Time runs of 1 and 2 workers of one thread in turn, and hold the simulation of 2 against what was measured."""
    import torch

    from retroscope.encoders.loading import load_encoder
    from retroscope.encoders.settings import LoadSettings
    from retroscope.representations.plan import plan_extraction
    from retroscope.representations.settings import ExtractionSettings

    torch.set_num_threads(1)  # a worker has as many threads as this process
    draw = random.Random(0)
    words = Path(__file__).read_text(encoding="utf-8").split()
    corpus = [" ".join(draw.choice(words) for _ in range(40)) for _ in range(texts)]
    plan = plan_extraction(load_encoder(model, LoadSettings(pooling="mean")), corpus, ExtractionSettings())
    runs: dict[int, list[Measured]] = {1: [], 2: []}
    for _ in range(rounds):
        for workers in (1, 2, 2, 1):
            runs[workers].append(_run(plan, corpus, workers))
            print(f"{workers} workers: {runs[workers][-1]}", flush=True)
    one, two = (_middle(runs[n]) for n in (1, 2))
    gap = max(0.0, one.seconds / one.shards - one.compute)  # what one worker waits for between shards
    fleet = Fleet(one.compute, one.write, 1 / max(one.write, 1e-6) * 2, gap, 0.0, jitter=0.0)
    for workers, real in ((1, one), (2, two)):
        said = simulate(fleet, real.shards, workers)
        print(f"{workers} workers: predicted {said:.1f} s, measured {real.seconds:.1f} s ({real.seconds / said:.2f})")
    print(f"2 workers reach {one.seconds / two.seconds:.2f} times the throughput of 1")


def _run(plan: "object", corpus: list[str], workers: int) -> Measured:
    from retroscope.engine.ray import run_on_ray
    from retroscope.representations.extraction import window_job
    from retroscope.representations.own_store import create_store
    from retroscope.representations.store import open_store

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "v"
        create_store(plan, place)
        job = window_job(plan, corpus, place, open_store(place, "r+"))
        tally = run_on_ray(job, None, workers)
    shards = -(-job.total // plan.window)
    return Measured(
        tally.seconds - tally.arrived, tally.computing / shards, tally.writing / shards, tally.arrived, shards
    )


def _middle(runs: list[Measured]) -> Measured:
    return sorted(runs, key=lambda run: run.seconds)[len(runs) // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", metavar="MODEL", help="folder of a model; needs a quiet machine and Ray")
    parser.add_argument("--driver", metavar="MODEL", help="folder of a model")
    parser.add_argument("--texts", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=2, help="of runs with 1, 2, 2 and 1 workers")
    args = parser.parse_args()
    if args.driver:
        driver(args.driver)
        return
    if args.measure:
        measure(args.measure, args.texts, args.rounds)
        return
    for title, rows in (("Bytes", sizes()), ("Hours", hours()), ("Writing", writing()), ("Workers", scaling())):
        print(f"\n### {title}\n")
        print("\n".join(rows))
    fleet, shards = fleet_of(MODELS[1], COLLECTIONS[1], all_layers=True)
    for hours_alive in (24, 6, 1):
        lost = simulate(replace(fleet, lifetime=3600.0 * hours_alive), shards, 8, seed=1)
        never = simulate(replace(fleet, lifetime=math.inf), shards, 8, seed=1)
        more = f"the run takes {100 * (lost / never - 1):.1f} % more time than without losses"
        print(f"- With 8 workers (7B, all layers), each lost every {hours_alive} h, {more}.")


if __name__ == "__main__":
    main()
