"""Fuzz the doors: sound files and settings with random damage; every outcome but "refused" or "accepted" is a finding.

Run: PYTHONPATH=tests python tests/faults/fuzz.py --cases 100000 --seed 0

Every case is in this process, since a fork of each would take hours; an alarm ends one that goes on too long. Case n of
a seed is the same whenever it is run, so that `--seed S --only N` repeats it.
"""

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from hostile_case import put
from hostile_collections import ROWS, beir, collection_cases, jsonl, make_bombs, parquets, trec
from hostile_doors import ABORT, BAD, HANG, answer_of, summary, tried, warm
from hostile_models import Case, adapter, model_cases, st, toy
from hostile_settings import settings_cases

SECONDS = 20
BYTES = [b"\0", b"\xff", b"\n", b"\t", b'"', b"{", b"[", b"]", b"}", b",", b":", b"\\", b"\x1b[31m", b"\xed\xa0\x80", b"9" * 5000, b"[" * 3000,
         "\u202e".encode(), b"NaN", b"-", b"1e999", b"\r\n", b"\x1f\x8b", b"&a", b"*a", b"<<: ", b"../", b"null", b"true"]  # fmt: skip
VALUES: list[Any] = [None, True, False, 0, -1, 1, 1.5, 10**6, 10**9, 10**15, float("inf"), float("nan"), "", "a", "x" * 5000, "../x", "\x1b[2J",
                     "\ud800", "\0", [], [1], ["a"], [[]], {}, {"a": 1}, {"": None}]  # fmt: skip
Strategy = Callable[[random.Random, Path], Case]


class TooLong(Exception):
    """The alarm of a case that goes on and on."""


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Flip, cut, repeat, insert or swap some bytes."""
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        at = rng.randrange(len(data) + 1)
        to = min(len(data), at + rng.choice((1, 2, 8, 60, len(data))))
        piece = rng.choice(BYTES)
        data = rng.choice((
            data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :], data[:at] + piece + data[at:], data[:at] + data[to:], data[:at],
            data[:at] + data[at:to] * 2 + data[to:], data[to:] + data[:at], data[:at] + piece + data[to:],
        ))  # fmt: skip
    return data


def forged(rng: random.Random, document: Any) -> Any:
    """Change, remove or move one value somewhere in a JSON document."""
    if isinstance(document, dict) and document and rng.random() < 0.8:
        key = rng.choice(sorted(document))
        changed = dict(document)
        if rng.random() < 0.15:
            del changed[key]
        elif rng.random() < 0.1:
            changed[rng.choice(("", "x", key.upper(), "\x1b", "a" * 300))] = changed.pop(key)
        else:
            changed[key] = forged(rng, document[key])
        return changed
    if isinstance(document, list) and document and rng.random() < 0.7:
        at = rng.randrange(len(document))
        return [*document[:at], forged(rng, document[at]), *document[at + 1 :]]
    return rng.choice(VALUES)


def spoilt(rng: random.Random, path: Path) -> None:
    """Damage the bytes of a file, or forge its JSON."""
    data = path.read_bytes()
    if path.suffix == ".json" and rng.random() < 0.6:
        put(path, json.dumps(forged(rng, json.loads(data))))
    else:
        put(path, damaged(rng, data))


def of_folder(make: Callable[[Path], Path], door: str, prefix: str = "") -> Strategy:
    def strategy(rng: random.Random, folder: Path) -> Case:
        def made(place: Path) -> Any:
            root = make(place)
            files = sorted(p for p in root.rglob("*") if p.is_file())
            spoilt(rng, rng.choice(files))
            return f"{prefix}:{root}" if prefix else root

        return Case(door, "fuzzed", make.__name__, made, False)

    return strategy


def of_rows(rng: random.Random, folder: Path) -> Case:
    form = rng.choice(sorted(ROWS))
    ending = rng.choice(("jsonl", "json", "csv", "tsv"))
    rows = [forged(rng, row) if rng.random() < 0.5 else row for row in ROWS[form] * 3]
    text = jsonl(rows) if ending == "jsonl" else json.dumps(rows) if ending == "json" else (
        "\n".join(("\t" if ending == "tsv" else ",").join(map(str, row.values() if isinstance(row, dict) else [row])) for row in rows))  # fmt: skip
    data = text.encode("utf-8", "surrogatepass")
    data = damaged(rng, data) if rng.random() < 0.5 else data
    return Case("collection", "fuzzed", form, lambda place: f"{form}:{put(place / f'x.{ending}', data)}", False)


def of_settings(rng: random.Random, folder: Path) -> Case:
    from retroscope.inputs.settings import DataSettings, StudySettings
    from retroscope.study.settings import as_values, to_yaml

    settings = StudySettings(data=DataSettings(source="beir:x"))
    if rng.random() < 0.5:
        text = damaged(rng, to_yaml(settings).encode())
        return Case("settings file", "fuzzed", "YAML", lambda place: put(place / "s.yaml", text), False)
    values = forged(rng, as_values(settings))
    return Case("settings file", "fuzzed", "values", lambda place: put(place / "s.yaml", json.dumps(values)), False)


def of_assignments(rng: random.Random, folder: Path) -> Case:
    from retroscope.inputs.settings import StudySettings
    from retroscope.study.settings import as_values

    names, values = [], as_values(StudySettings())
    while isinstance(values, dict) and values:
        names.append(rng.choice(sorted(values)))
        values = values[names[-1]]
    value = rng.choice(
        [*map(str, VALUES), json.dumps(rng.choice(VALUES)), damaged(rng, b"[1, {a: 2}]").decode("utf-8", "replace")]
    )
    return Case("--set", "fuzzed", ".".join(names), lambda place: [f"{'.'.join(names)}={value}"], False)


def of_toy(name: str) -> Strategy:
    def copied(place: Path) -> Path:
        shutil.copytree(toy(name), place / "model")
        return place / "model"

    copied.__name__ = name
    return of_folder(copied, "retriever")


def of_adapter(place: Path) -> Path:
    return adapter({}, place)


# Door -> strategy and how many of a hundred cases it gets; those that load models are slow.
STRATEGIES: dict[str, tuple[Strategy, int]] = {
    "beir": (of_folder(beir, "collection", "beir"), 20),
    "trec": (of_folder(trec, "collection", "trec"), 15),
    "parquet": (of_folder(parquets, "collection", "hf"), 5),
    "rows": (of_rows, 24),
    "settings": (of_settings, 6),
    "--set": (of_assignments, 20),
    "bert": (of_toy("bert"), 3),
    "llama": (of_toy("llama"), 2),
    "sentence-transformers": (of_folder(st, "retriever"), 3),
    "adapter": (of_folder(of_adapter, "retriever"), 2),
}


def case_of(seed: int, number: int, folder: Path) -> tuple[str, Case]:
    """Return case n of a seed, and the name of its strategy."""
    rng = random.Random(f"{seed}/{number}")
    names = [name for name, (_, weight) in STRATEGIES.items() for _ in range(weight)]
    name = rng.choice(names)
    return name, STRATEGIES[name][0](rng, folder)


def verdict_of(case: Case, folder: Path, seconds: int = SECONDS) -> str:
    """Try a case in this process: one word, and what was said."""

    def ring(number: int, frame: FrameType | None) -> NoReturn:
        raise TooLong

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        return answer_of(case, folder)
    except BaseException as error:
        return f"{HANG if isinstance(error, TooLong) else ABORT}\n{error!r}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fuzzed(cases: int, seed: int, first: int = 0) -> tuple[Counter[str], list[str]]:
    """Try so many cases; return how often each outcome came, and the findings."""
    counts: Counter[str] = Counter()
    findings: list[str] = []
    for number in range(first, first + cases):
        folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        try:
            name, case = case_of(seed, number, folder)
            answer = verdict_of(case, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        what, _, said = answer.partition("\n")
        what = HANG if "TooLong" in said else what
        counts[what] += 1
        if what in BAD:
            findings.append(f"--seed {seed} --only {number} ({name}): {what}: {said[:300]}")
    return counts, findings


def tabled(every: int) -> int:
    """Try one in so many cases of the tables, each in a process of its own; print what is wrong and a line."""
    warm()
    make_bombs()
    wrong = 0
    for name, cases in {
        "checkpoints": model_cases(),
        "collections": collection_cases(),
        "settings": settings_cases(),
    }.items():
        verdicts = [tried(case) for number, case in enumerate(cases) if number % every == 0]
        for verdict in (v for v in verdicts if v.wrong):
            wrong += 1
            print(f"{verdict.case.title}: {verdict.what}: {verdict.message[:300]}".encode("unicode_escape").decode())
        print(f"{name}: {summary(verdicts)}", flush=True)
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="repeat one case")
    parser.add_argument("--table", type=int, metavar="N", help="try one in N cases of the tables instead; 1 tries all")
    chosen = parser.parse_args()
    if chosen.table is not None:
        return tabled(chosen.table)
    start = time.monotonic()
    first, cases = (0, chosen.cases) if chosen.only is None else (chosen.only, 1)
    counts, findings = fuzzed(cases, chosen.seed, first)
    for finding in findings:
        print(finding.encode("unicode_escape").decode())
    outcome = ", ".join(f"{count:,} {what}" for what, count in counts.most_common())
    print(f"fuzz: {cases:,} cases of seed {chosen.seed} in {time.monotonic() - start:.0f} s: {outcome}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
