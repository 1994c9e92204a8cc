"""Does the pattern hold? Architectures, pre-training objectives, fine-tuning strategies and doses, in one small world.

    python benchmarks/universality.py --work runs/universality           # about an hour and a half of processor time
    python benchmarks/universality.py --work runs/universality --gather  # results of the cells that are finished
    python benchmarks/universality.py --page                             # table and figure, from the committed results

Each cell is a pre-training, a fine-tuning and a measurement with one seed; its result is written when it is done. A run
that was killed goes on with the same command, and ends with the same files. The results are
docs/studies/data/universality/*.csv; table and figure of docs/studies/universality.md are made of them. Parts run in
the order of `PARTS`, each seed by seed.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from universality_cells import FIRST, STRATA, Arm, run_cell, world_of
from universality_claims import claim_rows, measure_claims
from universality_numbers import DEPTH, contrasts, found_rows, share_rows, worth_rows
from universality_page import DATA, HOME, write_page
from universality_shapes import TINY, Scale

TIMES = 4  # steps of fine-tuning, where the question is whether it was too short
# Architecture, as the page names it -> its arm. The shape "t5both" reads with its decoder, too.
ARCHITECTURES: Mapping[str, Arm] = {
    "BERT, mean": Arm(),
    "BERT, cls": Arm(pooling="cls"),
    "RoBERTa-like, mean": Arm(shape="roberta"),
    "ModernBERT, mean": Arm(shape="modernbert"),
    "T5 encoder, mean": Arm(shape="t5"),
    "T5, decoder's first state": Arm(shape="t5both", pooling=FIRST),
    "LLaMA causal, mean": Arm(shape="llama", objective="clm"),
    "LLaMA both ways, mean": Arm(shape="llama", objective="clm", both_ways=True),
}
CONTROLS: Mapping[str, Arm] = {
    "from scratch": Arm(objective="none"),
    "shuffled facts": Arm(shuffled=True),
}
DOSES: Mapping[str, Arm] = {f"steps x {share:g}": Arm(share=share) for share in (0.125, 0.25, 0.5)}
LONGER: Mapping[str, Arm] = {
    f"{name}, {TIMES} x fine-tuning": replace(ARCHITECTURES[name], tuning=TIMES)
    for name in ("T5 encoder, mean", "T5, decoder's first state")
}
EXPOSURES: Mapping[str, Arm] = {f"{n} documents": Arm(documents=n) for n in (2, 4)}
OBJECTIVES: Mapping[str, Arm] = {
    "none": Arm(objective="none"),
    "masked words": Arm(),
    "spans": Arm(shape="t5"),
    "causal": Arm(shape="llama", objective="clm"),
    "RetroMAE": Arm(objective="retromae"),
    "crops": Arm(objective="crops"),
}
STRATEGIES = ("full", "lora", "head", "norms", "bitfit")
NO_BIASES = ("t5", "llama")  # these have nothing that bitfit trains
LABELS = (0.25, 0.5, 1.0)


def strategy_arms(*objectives: str) -> dict[str, Arm]:
    """Return the arms of the factorial; the shapes without biases have no bitfit."""
    return {
        f"{name}, {strategy}": replace(OBJECTIVES[name], strategy=strategy)
        for name, strategy in product(objectives, STRATEGIES)
        if strategy != "bitfit" or OBJECTIVES[name].shape not in NO_BIASES
    }


def label_arms() -> dict[str, Arm]:
    """Return the arms of the label curves."""
    return {f"{name}, labels x {n:g}": replace(arm, labels=n) for (name, arm), n in product(OBJECTIVES.items(), LABELS)}


CLAIMS = "claims"  # of the retrievers of the architectures
# In the order in which they run: parts that need backbones of their own come late.
PARTS: Mapping[str, Mapping[str, Arm]] = {
    "architecture": ARCHITECTURES,
    "control": CONTROLS,
    "dose": DOSES,
    "longer": LONGER,
    "strategy": strategy_arms("none", "masked words", "spans", "causal"),
    CLAIMS: {name: arm for name, arm in ARCHITECTURES.items() if arm.pooling != FIRST},  # no encoder of the library
    "exposure": EXPOSURES,
    "objective": strategy_arms("RetroMAE", "crops"),
    "labels": label_arms(),
}
FEWEST = 2  # seeds of an arm that the tables have
PARITY = 0.1  # share by which the parameters of two architectures may differ


def main() -> None:
    """Run, gather, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="folder of the cells")
    parser.add_argument("--gather", action="store_true", help="run nothing: write the results of finished cells")
    parser.add_argument("--page", action="store_true", help="write table and figure from the committed results")
    parser.add_argument("--tiny", action="store_true", help="a scale that shows nothing, to try the script")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--out", type=Path, default=HOME / DATA, help="folder of the results")
    chosen = parser.parse_args()
    if chosen.work is None and not chosen.page:
        parser.error("give --work, or --page")
    if chosen.tiny and chosen.out == HOME / DATA:
        parser.error("give --out with --tiny: the committed results are of the whole scale")
    torch.set_num_threads(1)  # sums of two threads may be added in another order
    if chosen.work is not None:
        scale = TINY if chosen.tiny else Scale()
        if not chosen.gather:
            run(scale, chosen.work, chosen.parts)
        gather(scale, chosen.work, chosen.out)
    if chosen.out == HOME / DATA:
        write_page()


def run(scale: Scale, work: Path, parts: list[str]) -> None:
    """Run every cell that is not finished, part by part and seed by seed."""
    for part in parts:
        for seed, (name, arm) in product(range(scale.seeds), PARTS[part].items()):
            print(f"{part}: {name}, seed {seed}", flush=True)
            if part == CLAIMS:
                measure_claims(scale, arm, seed, work)
                continue
            run_cell(scale, arm, seed, work)
            if part == "architecture":
                check_parity(scale, work)


def check_parity(scale: Scale, work: Path) -> None:
    """Refuse architectures whose sizes differ by more than `PARITY`."""
    sizes = {name: cell["parameters"] for name, cell, _ in finished(scale, work, "architecture")}
    smallest, largest = min(sizes.values()), max(sizes.values())
    if largest > (1 + PARITY) * smallest:
        raise ValueError(f"the architectures differ by more than {PARITY:.0%} in size: {sizes}")


def finished(scale: Scale, work: Path, part: str) -> Iterator[tuple[str, dict[str, Any], int]]:
    """Yield (arm, result, seed) of every finished cell of a part."""
    for (name, arm), seed in product(PARTS[part].items(), range(scale.seeds)):
        if (work / "cells" / f"{arm.name(seed)}.json").exists():
            yield name, run_cell(scale, arm, seed, work), seed


def gather(scale: Scale, work: Path, out: Path) -> None:
    """Write the tables of all cells that are finished; an arm counts from `FEWEST` seeds on."""
    strata = {query.id: stratum for stratum, query in world_queries(scale)}
    cells: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for part in PARTS:
        for name, cell, seed in () if part == CLAIMS else finished(scale, work, part):
            cells.setdefault((part, name), {})[seed] = cell
    whole = {
        key: [seeds[s] for s in sorted(seeds)] for key, seeds in cells.items() if len(seeds) >= min(FEWEST, scale.seeds)
    }
    found = list(found_rows(whole, strata))
    save(out, "found", found)
    save(out, "contrasts", list(contrasts(whole, strata)))
    save(out, "shares", list(share_rows(whole, strata, OBJECTIVES, STRATEGIES)))
    save(out, "worth", list(worth_rows(whole, strata, OBJECTIVES, LABELS, n_labels(scale))))
    save(out, "claims", list(claim_rows(scale, PARTS[CLAIMS], work)))
    save(out, "planned", list(planned(scale, work)))
    asked = list(strata.values())
    questions = {name: asked.count(name) for name in dict.fromkeys(asked)}
    about = {"scale": vars(scale), "chance": DEPTH / scale.people, "training_questions": n_labels(scale)}
    (out / "scale.json").write_text(json.dumps({**about, "questions": questions}, indent=1) + "\n", "utf-8")


def planned(scale: Scale, work: Path) -> Iterator[dict[str, Any]]:
    """Yield every arm with the number of its seeds that are finished."""
    for part, arms in PARTS.items():
        folder = work / (CLAIMS if part == CLAIMS else "cells")
        for name, arm in arms.items():
            done = sum((folder / f"{arm.name(seed)}.json").exists() for seed in range(scale.seeds))
            yield {"part": part, "arm": name, "shape": arm.shape, "seeds_finished": done, "seeds_planned": scale.seeds}


def n_labels(scale: Scale) -> int:
    return len(world_of(scale).splits["train"])


def world_queries(scale: Scale) -> Iterator[tuple[str, Any]]:
    """Yield (stratum, question) of every question that tests."""
    world = world_of(scale)
    for stratum, split in STRATA.items():
        for query, _ in world.splits[split]:
            yield stratum, query


def save(out: Path, name: str, rows: list[dict[str, Any]]) -> None:
    """Write a table; one of a part that has not run is left out."""
    place = out / f"{name}.csv"
    place.unlink(missing_ok=True)
    if rows:
        out.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(place, index=False, float_format="%.6g", lineterminator="\n")


if __name__ == "__main__":
    main()
