"""What an audit found in the drift analysis, before and after: a small table of each point.

    python benchmarks/audit/drift.py
    python benchmarks/audit/drift.py --before BACKBONE --after RETRIEVER          # real weights besides
    python benchmarks/audit/drift.py --before BACKBONE --after RETRIEVER --data beir:PATH --pooling mean   # and layers

The old formulas stand in this script. Amplification and CKA are on planted matrices; with two models the amplification
of their matrices is printed for several r, with data also which layer retrieves best without and with the final norm.
"""

import argparse
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch

from retroscope.collection.collection import Collection
from retroscope.collection.loading import load_collection
from retroscope.drift.by_layer import representation_drift
from retroscope.drift.intruders import intruders
from retroscope.drift.settings import DriftSettings
from retroscope.drift.similarity import cka, procrustes, procrustes_chance
from retroscope.drift.spectrum import Directions, Spectrum, dense_directions, spectrum
from retroscope.drift.weights import whole_tensor
from retroscope.encoders.checkpoints.tensors import open_weights
from retroscope.encoders.loading import load_retriever
from retroscope.representations.represent import represent
from retroscope.representations.vectors import RetrieverRepresentations, representations_in_memory
from retroscope.retrieval.retrieve import retrieve_layers

RANKS = (1, 8, 32, 128)
MEASURE = "nDCG@10"
LINE = "{:72}{:>12}{:>12}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before")
    parser.add_argument("--after")
    parser.add_argument("--base", help="of an adapter, where the base that it names is not to be followed")
    parser.add_argument("--data")
    parser.add_argument("--pooling")
    parser.add_argument("--query-prompt", default=None)
    parser.add_argument("--passage-prompt", default=None)
    parser.add_argument("--append-eos", action="store_true")
    parser.add_argument("--max-length", type=int)
    parser.add_argument("--passages", type=int, default=600)
    chosen = parser.parse_args()
    print(LINE.format("what", "before", "after"))
    planted_amplification()
    planted_intruders()
    planted_ceiling()
    planted_cka()
    if chosen.before and chosen.after:
        real_amplification(chosen.before, chosen.after, chosen.base)
    if chosen.data:
        real_layers(chosen)


def gaussian(rows: int, columns: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def planted_amplification() -> None:
    """A random change of full rank, whose size is that of the matrix in 8 directions."""
    before, change = gaussian(768, 768, 0), gaussian(768, 768, 1)
    change *= 8 / 768 * before.norm() / change.norm()
    whole = dense_directions(change, max(RANKS))
    for r in RANKS:
        old, new = both(before, change, whole, r)
        print(LINE.format(f"amplification of a random change, r = {r}", f"{old:.2f}", f"{new.amplification:.3f}"))
        print(LINE.format("  what random directions give", "-", f"{new.amplification_random:.3f}"))


def both(before: torch.Tensor, change: torch.Tensor, whole: Directions, r: int) -> tuple[float, Spectrum]:
    first = Directions(whole.values, whole.left[:, :r], whole.right[:, :r])
    old = float(change.norm() / (first.left.T @ before.double() @ first.right).norm())
    return old, spectrum(before, first)


def planted_intruders() -> None:
    """One large new direction, in a matrix of separate directions, against a change of the same size in all."""
    q, _ = torch.linalg.qr(gaussian(256, 20, 0))
    p, _ = torch.linalg.qr(gaussian(256, 20, 1))
    before = q @ torch.diag(torch.arange(20, 0, -1, dtype=torch.float64)) @ p.T
    u, v = gaussian(256, 1, 2), gaussian(256, 1, 3)
    change = 40 * (u / u.norm()) @ (v / v.norm()).T
    intruding = intruders(before, change, "w")
    print(LINE.format("intruder dimensions of one planted direction (10 examined)", "-", intruding.intruders))
    print(LINE.format("  of a random change of that size", "-", intruding.intruders_random))


def planted_ceiling() -> None:
    """Two nearly equal models: their value against what was called a ceiling, and against another training."""
    rng = np.random.default_rng(0)
    base = rng.standard_normal((400, 2, 32)).astype(np.float32)
    one, two, other = (
        in_memory(base + c * rng.standard_normal(base.shape).astype(np.float32)) for c in (0, 0.02, 0.02)
    )
    table = representation_drift(one, two, other_trainings=[other], settings=DriftSettings(texts=400)).similarity
    row = table[(table["statistic"] == "cka") & (table["tower"] == "passage") & (table["layer"] == 1)].iloc[0]
    print(LINE.format("CKA of two nearly equal models", f"{row['value']:.3f}", f"{row['value']:.3f}"))
    print(LINE.format("  its ceiling (before: halves of dimensions; after: a second seed)", f"{row['halves']:.3f}",
                      f"{row['other_training']:.3f}"))  # fmt: skip


def in_memory(vectors: np.ndarray) -> RetrieverRepresentations:
    towers = [representations_in_memory([f"{t}{i}" for i in range(len(vectors))], vectors) for t in "qp"]
    return RetrieverRepresentations("made up", *towers, "cosine", {})


def planted_cka() -> None:
    """One shared direction with half of the variance, the rest unrelated."""
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((400, 1)) * np.sqrt(40)
    x, y = (np.hstack([shared, rng.standard_normal((400, 40))]).astype(np.float32) for _ in range(2))
    print(LINE.format("half of the variance shared (CKA; Procrustes)", f"{cka(x, y):.3f}", f"{procrustes(x, y):.3f}"))
    print(LINE.format("  texts paired at random", "-", f"{procrustes_chance(x, y):.3f}"))


def real_amplification(before: str, after: str, base: str | None) -> None:
    """Medians over the changed matrices of the blocks of a real pair."""
    one, two = open_weights(before), open_weights(after, base)
    by_name: dict[int, list[tuple[float, Spectrum]]] = {r: [] for r in RANKS}
    for name in one.read:
        w, v = whole_tensor(one, name).float(), whole_tensor(two, name).float()
        if one.anatomy.part_of(name)[0] is None or w.ndim != 2 or torch.equal(w, v):
            continue
        whole = dense_directions(v - w, min(max(RANKS), *w.shape))
        for r in RANKS:
            by_name[r].append(both(w, (v - w).double(), whole, r))
    for r, values in by_name.items():
        old = median(o for o, _ in values)
        new, random, alignment = (
            median(getattr(s, name) for _, s in values)
            for name in ("amplification", "amplification_random", "alignment")
        )
        print(LINE.format(f"amplification, median of {len(values)} matrices, r = {r}", f"{old:.2f}", f"{new:.2f}"))
        print(LINE.format(f"  random directions; alignment {alignment:.2f}", "-", f"{random:.2f}"))


def real_layers(chosen: argparse.Namespace) -> None:
    """The layer that retrieves best, without (before) and with (after) the final norm on each."""
    collection = sample(load_collection(chosen.data), chosen.passages)
    fields = {"pooling": chosen.pooling, "query_prompt": chosen.query_prompt, "passage_prompt": chosen.passage_prompt,
              "max_length": chosen.max_length, "append_eos": True if chosen.append_eos else None}  # fmt: skip
    for side, source, base in (("backbone", chosen.before, None), ("retriever", chosen.after, chosen.base)):
        given = {name: value for name, value in {**fields, "base": base}.items() if value is not None}
        with TemporaryDirectory() as cache:
            vectors = represent(load_retriever(source, **given), collection, Path(cache))
            read = [vectors.bare() or vectors, vectors]
            values = [retrieve_layers(v, collection, [MEASURE]).values.sel(measure=MEASURE).mean("query") for v in read]
        for layer in range(values[0].sizes["layer"]):
            cells = [f"{float(v.sel(layer=layer)):.3f}" for v in values]
            print(LINE.format(f"{MEASURE} of the {side}, layer {layer}", *cells))
        best = [str(int(v.argmax("layer"))) for v in values]
        print(LINE.format(f"best layer of the {side}", *best), flush=True)


def sample(collection: Collection, passages: int) -> Collection:
    """The first passages, and the queries that have one of them as relevant."""
    from retroscope.collection.collection import make_collection
    from retroscope.collection.records import Judgment

    kept = list(islice(collection.passages.values(), passages))
    ids = {p.id for p in kept}
    judged = [Judgment(q, p, g) for q, value in collection.qrels.items() for p, g in value.items() if p in ids]
    asked = {j.query_id for j in judged}
    return make_collection(
        f"{collection.name} (sample)", kept, [q for q in collection.queries.values() if q.id in asked], judged
    )


if __name__ == "__main__":
    main()
