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
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from proof import (
    baselines,
    components,
    doctor,
    domains,
    erasure,
    interventions,
    knowledge,
    localisation,
    neurons,
    paths,
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
    "components": components.proofs,
    "erasure": erasure.proofs,
    "domains": domains.proofs,
    "knowledge": knowledge.proofs,
    "paths": paths.proofs,
}
# The longest first, so that no processor waits at the end; any other order gives the same page.
LONGEST = ("probes", "baselines", "localisation")
LACKING = """- the probe `concat` (as published, it does not learn from so few queries: 30 epochs at a rate of 1e-4),
  and the alarms of the probes' controls (label controls, random weights, memorisation);
- the alarm of completeness by layer, conductance and activation times gradient;
- alignment, drift on a second collection, the ceiling of drift, and the share of a gain that is only geometry;
- knowledge editing, read-outs of facts before and after (paired tests, as of accuracies), and facts kept or gained;
- attention by kind of token, first-order estimates of heads (no test), and activations of the other model in patching;
- length, fertility, unknown tokens and neighbours in domain shift (levels with an interval, without a statement);
- tails of embedding and cross-layer maps, flips of single queries, and examples (no test);
- near-duplicates of training and test, and shared passages."""
ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "proofs.md"


def main() -> int:
    """Try every family and write the page; status 1 if anything speaks against an instrument."""
    chosen = arguments()
    families = chosen.only or list(FAMILIES)
    with ProcessPoolExecutor(chosen.processes) as pool:
        order = sorted(families, key=lambda family: family not in LONGEST)
        tried = {family: pool.submit(kept, family, chosen.studies, chosen.state) for family in order}
        by_name = {family: run.result() for family, run in tried.items()}
    rows = [proof for family in families for proof in by_name[family].rows]
    seconds = sum(one.seconds for one in by_name.values())
    faults = [f"{proof.instrument}: {fault}" for proof in rows for fault in proof.faults()]
    if not chosen.only:
        chosen.out.write_text(page(rows, chosen.studies, took(seconds, chosen.processes)), encoding="utf-8")
    print(table(rows))
    print(f"{len(rows)} statements, {len(faults)} faults, {seconds:.0f} s of all families", *faults, sep="\n")
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


@dataclass(frozen=True)
class Tried:
    """The rows of a family, and how many seconds they took when they were made."""

    rows: list[Proof]
    seconds: float


def kept(family: str, studies: int, state: Path) -> Tried:
    """Return a family's rows, from an earlier run of the same code if there was one."""
    file = state / f"{family}-{studies}-{code_hash()}.json"
    if file.exists():
        stored = json.loads(file.read_text(encoding="utf-8"))
        return Tried([restored(row) for row in stored["rows"]], float(stored["seconds"]))
    start = perf_counter()
    rows = FAMILIES[family](studies)
    tried = Tried(rows, perf_counter() - start)
    print(f"{family}: {tried.seconds:.0f} s", file=sys.stderr, flush=True)
    state.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(tried), default=bool), encoding="utf-8")
    partial.rename(file)
    return tried


def took(seconds: float, processes: int) -> str:
    """Return the sentence about the time of all families, which a stopped run keeps with their rows."""
    return (
        f"All families together took {seconds:,.0f} s, at least {seconds / processes / 60:.0f} minutes with "
        f"{processes} processes on {os.cpu_count()} cores."
    )


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


def page(rows: Sequence[Proof], studies: int, time: str) -> str:
    """Return docs/proofs.md."""
    return f"""# Proofs

This page tests statements of Retroscope's report on data for which the truth is known. `python benchmarks/proofs.py`
writes this page from seeds; `make everything` repeats a part of it. The following statements have no row. Tests check
them, but without a rate over many simulated studies:

{LACKING}

- **Control** names the negative control, which must fail. A control that cannot fail proves nothing.
- **Result** compares the value of the control with that of the statement as the report makes it.
- **False** is the share of simulated studies ({studies} or {3 * studies // 4} in most rows) in which the statement was
  made although it was false. The nominal share of false statements is {NOMINAL:.2f}. In brackets is the
  95 % interval of the simulation (Clopper and Pearson), then the number of studies.
- **Power** is the share of studies in which the planted truth was found. The power applies to the planted effect size
  only.
- **Coverage** is the share of 95 % intervals that contain the true value. A coverage below {LEAST_COVERAGE:.2f} is
  named under "What it cannot say".
- **Checked by** names the reference of the number: a closed form, or another library that computes it.

{table(rows)}
{cannot(rows)}
The numbers of this page were measured with Python {platform.python_version()} on {platform.machine()}. {time}
"""


def table(rows: Sequence[Proof]) -> str:
    """Return the rows as Markdown."""
    head = ("statement", "control (must fail)", "result", "false", "power (planted)", "coverage", "checked by")
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
