"""Every instrument where the truth is known: what its control reads, how often it errs, what it finds.

    python benchmarks/proofs.py                    # writes docs/proofs.md; under 30 minutes on two cores
    python benchmarks/proofs.py --studies 40 --only retrieval

Everything is drawn from seeds: the same command prints the same page. A family that is done is kept in `--state`, under
a hash of all code that could change it, and not repeated.
"""

import argparse
import hashlib
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from proof import (
    baselines,
    doctor,
    interventions,
    localisation,
    neurons,
    probes,
    representations,
    retrieval,
    several,
    sharing,
    training,
    weights,
)
from proof.proof import LEAST_COVERAGE, NOMINAL, Proof, Rate

FAMILIES: dict[str, Callable[[int], list[Proof]]] = {
    "retrieval": retrieval.proofs,
    "baselines": baselines.proofs,
    "probes": probes.proofs,
    "weights": weights.proofs,
    "representations": representations.proofs,
    "interventions": interventions.proofs,
    "neurons": neurons.proofs,
    "localisation": localisation.proofs,
    "sharing": sharing.proofs,
    "training": training.proofs,
    "several": several.proofs,
    "doctor": doctor.proofs,
}
ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "proofs.md"


def main() -> int:
    """Try every family and write the page; status 1 if anything speaks against an instrument."""
    chosen = arguments()
    families = chosen.only or list(FAMILIES)
    start = perf_counter()
    with ProcessPoolExecutor(chosen.processes) as pool:
        tried = [pool.submit(kept, family, chosen.studies, chosen.state) for family in families]
        by_name = {family: run.result() for family, run in zip(families, tried, strict=True)}
    rows = [proof for family in families for proof in by_name[family]]
    faults = [f"{proof.instrument}: {fault}" for proof in rows for fault in proof.faults()]
    if not chosen.only:
        chosen.out.write_text(page(rows, chosen.studies), encoding="utf-8")
    print(table(rows))
    print(f"{len(rows)} statements, {len(faults)} faults, {perf_counter() - start:.0f} s", *faults, sep="\n")
    return 1 if faults else 0


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=400, help="simulated studies a rate (default 400)")
    parser.add_argument("--only", nargs="*", choices=list(FAMILIES), help="these families; writes no page")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=PAGE)
    parser.add_argument("--state", type=Path, default=Path("runs/proofs"))
    return parser.parse_args()


def kept(family: str, studies: int, state: Path) -> list[Proof]:
    """Return a family's rows, from an earlier run of the same code if there was one."""
    file = state / f"{family}-{studies}-{code_hash()}.json"
    if file.exists():
        return [restored(row) for row in json.loads(file.read_text(encoding="utf-8"))]
    start = perf_counter()
    rows = FAMILIES[family](studies)
    print(f"{family}: {perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    state.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps([asdict(row) for row in rows], default=bool), encoding="utf-8")
    partial.rename(file)
    return rows


def code_hash() -> str:
    """Return a hash of the package and of these scripts."""
    digest = hashlib.sha256()
    for file in sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def restored(row: dict[str, Any]) -> Proof:
    """Return the proof that was written as JSON."""
    counted = {name: Rate(**row[name]) if row[name] else None for name in ("false", "power", "coverage")}
    return Proof(**{**row, **counted})


def page(rows: Sequence[Proof], studies: int) -> str:
    """Return docs/proofs.md."""
    return f"""# Proofs

This page tests statements of Retroscope's report on data for which the truth is known. `python benchmarks/proofs.py`
writes this page from seeds; `make test` repeats a small part of it. The table has no row for the alarms of the probes'
controls, completeness by layer, alignment, drift on a second collection, and near-duplicates of training and test
(tested, not simulated 300 times).

- **Control** names the control that must fail, and what it reads. A control that cannot fail proves nothing.
- **False** is the share of simulated studies ({studies} in most rows) in which the statement was made although it was
  false. The nominal share of false statements is {NOMINAL:.2f}. In brackets is the 95 % interval of the simulation
  (Clopper and Pearson), then the number of studies.
- **Power** is the share of studies in which the planted truth was found. The power holds for the planted size alone.
- **Coverage** is the share of 95 % intervals that hold the truth. A coverage below {LEAST_COVERAGE:.2f} is named under
  "What it cannot say".
- **Held against** names what the number was checked against: a closed form, or another library that computes it.

{table(rows)}
{cannot(rows)}
The numbers of this page were measured with Python {platform.python_version()} on {platform.machine()}.
"""


def table(rows: Sequence[Proof]) -> str:
    """Return the rows as Markdown."""
    head = ("statement", "control, which must fail", "it reads", "false", "power (planted)", "coverage", "held against")
    lines = [head, ("---",) * len(head)]
    for row in rows:
        power = f"{row.power} ({row.planted})" if row.power else "-"
        cells = (row.instrument, row.control, row.reads, row.false or "-", power, row.coverage or "-", row.held_against)
        lines.append(tuple(map(str, cells)))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def cannot(rows: Sequence[Proof]) -> str:
    """Return what speaks against an instrument, as a section; empty where nothing does."""
    faults = [f"- {row.instrument}: {fault}.\n" for row in rows for fault in row.faults()]
    return f"\n## What it cannot say\n\n{''.join(faults)}" if faults else ""


if __name__ == "__main__":
    sys.exit(main())
