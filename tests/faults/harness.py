"""Kill, stop and starve runs at random, repeat the same command, and compare every byte with an undisturbed run.

`make faults`, or `python tests/faults/harness.py --kills 500 --seed 0 --minutes 120`. Prints one line; `--verbose` one
a trial. What is drawn depends on the seed alone; when a run is killed by the clock depends on the machine, too.
"""

import argparse
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from unittest.mock import patch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import faulty  # noqa: E402
from faulty import Fault, Place  # noqa: E402
from footprint import Footprint, footprint, tasks  # noqa: E402
from stages import Inputs, Stage, make_inputs, stages  # noqa: E402

LIMIT = 300.0  # seconds of a run
NONE = Fault()
KINDS = ("kill at a call", "kill at a time", "signal", "full disk", "small files", "two runs", "clock")
WEIGHTS = (40, 25, 12, 8, 5, 5, 5)
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
BETWEEN_INTERPRETERS = (-signal.SIGTERM, -signal.SIGHUP, -signal.SIGINT)  # it came before the command began


@dataclass(frozen=True)
class Run:
    """A run that ended.

    Attributes:
        code: exit code; below 0: the signal that ended it.
        tasks: what it finished: how often each file that stands for a finished task took its place.
    """

    code: int
    out: str
    err: str
    tasks: Counter[str]
    seconds: float = 0.0
    calls: int = 0


@dataclass(frozen=True)
class Undisturbed:
    """An undisturbed run of a stage: what it left, and how long it took."""

    footprint: Footprint
    run: Run


@dataclass
class Tally:
    """The sums of a campaign."""

    trials: Counter[str] = field(default_factory=Counter)
    survived: Counter[str] = field(default_factory=Counter)
    differing: int = 0
    repeated: int = 0
    most_repeated: int = 0
    repeated_by: str = ""  # the kill that repeated most
    leftovers: int = 0
    problems: list[str] = field(default_factory=list)

    def line(self, seed: int, seconds: float) -> str:
        """Return the one line that is printed."""
        kills = [kind for kind in self.trials if kind.startswith("kill")]
        others = ", ".join(
            f"{kind} {self.survived[kind]} of {self.trials[kind]}" for kind in KINDS if kind in self.trials
            if kind not in kills
        )  # fmt: skip
        return (
            f"kills survived {sum(self.survived[k] for k in kills)} of {sum(self.trials[k] for k in kills)}, bytes "
            f"differing {self.differing}, tasks repeated {self.repeated} (at most {self.most_repeated} by one kill"
            f"{': ' + self.repeated_by if self.repeated_by else ''}), "
            f"leftovers {self.leftovers}; {others or 'nothing else'}; seed {seed}, {seconds / 60:.1f} min"
        )


class Workshop:
    """A folder in which stages run, each in a process of its own, forked from one that has everything imported."""

    def __init__(self, home: Path) -> None:
        self.home, self.root = home, home / "root"
        self.inputs: Inputs = make_inputs(home / "inputs")
        self.stages = stages(self.inputs)
        self._known: dict[str, Undisturbed] = {}
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["warm"])
        with patch.dict(os.environ, {"PYTHONPATH": os.pathsep.join([*sys.path, str(HERE.parents[1] / "src")])}):
            ensure_running()

    def start(self, stage: Stage, fault: Fault = NONE, name: str = "run") -> ForkServerProcess:
        """Start a run of a stage in the folder as it is."""
        (self.home / f"{name}.calls").unlink(missing_ok=True)
        process = self._context.Process(target=faulty.run, args=(stage.line(self.root), fault, self._place(name)))
        process.start()
        return process

    def end(self, process: ForkServerProcess, name: str = "run") -> Run:
        """Wait for the end of a run."""
        process.join(LIMIT)
        if process.is_alive():
            process.kill()
            process.join()
            raise TimeoutError(f"a run took more than {LIMIT:g} s; its output is in {self.home}")
        place = self._place(name)
        out, err = (_read(place.output.with_suffix(f".{end}")) for end in ("out", "err"))
        lines = _read(place.calls).splitlines()
        return Run(process.exitcode or 0, out, err, tasks(lines, self.root), calls=len(lines))

    def run(self, stage: Stage, fault: Fault = NONE, name: str = "run") -> Run:
        """Run a stage in the folder as it is, to the end."""
        start = time.monotonic()
        done = self.end(self.start(stage, fault, name), name)
        return Run(done.code, done.out, done.err, done.tasks, time.monotonic() - start, done.calls)

    def fresh(self, stage: Stage) -> None:
        """Empty the folder, and fill it with what the stage begins with."""
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir()
        stage.begin(self.root)

    def undisturbed(self, name: str) -> Undisturbed:
        """Return what an undisturbed run of a stage leaves; the study that is reported again is that of `drift`."""
        if name not in self._known:
            stage = self.stages[name]
            if name == "report" and not self.inputs.study.exists():
                self.undisturbed("drift")
            self.fresh(stage)
            done = self.run(stage)
            if done.code:
                raise RuntimeError(f"{name} fails undisturbed:\n{done.err}")
            if name == "drift":
                shutil.copytree(self.root / "out", self.inputs.study)
            self._known[name] = Undisturbed(footprint(self.root), done)
        return self._known[name]

    def _place(self, name: str) -> Place:
        return Place(self.root, self.home / name, self.home / f"{name}.calls")


def _read(file: Path) -> str:
    return file.read_text(errors="replace") if file.exists() else ""


def trial(shop: Workshop, name: str, kind: str, draw: random.Random, tally: Tally) -> None:
    """Disturb a run of a stage, repeat the command, and count what is wrong."""
    known, stage = shop.undisturbed(name), shop.stages[name]
    shop.fresh(stage)
    what, problems, disturbed = _disturbed(shop, stage, kind, known, draw)
    where = f"{name}, {what}"
    repeated = shop.run(stage)
    if repeated.code:
        problems.append(f"the same command ends with {repeated.code}: {_last(repeated.err)}")
    left = footprint(shop.root)
    differing, leftovers = known.footprint.differing(left), known.footprint.leftovers(left)
    problems += [f"differs: {path}" for path in differing] + [f"left: {path}" for path in leftovers]
    again = sum(((disturbed + repeated.tasks) - known.run.tasks).values())
    tally.trials[kind] += 1
    tally.survived[kind] += not problems
    tally.differing += len(differing)
    tally.leftovers += len(leftovers)
    tally.repeated += again
    # A run under another clock finished, so its repetition measures it all again: only kills count here.
    if kind.startswith("kill") and again > tally.most_repeated:
        tally.most_repeated, tally.repeated_by = again, where
    tally.problems += [f"{where}: {problem}" for problem in problems]


def _disturbed(
    shop: Workshop, stage: Stage, kind: str, known: Undisturbed, draw: random.Random
) -> tuple[str, list[str], Counter[str]]:
    """Return what was done to a run in words, what was wrong with its end, and the tasks that it finished."""
    call, seconds = draw.randint(1, max(1, known.run.calls)), draw.uniform(0, known.run.seconds)
    if kind == "kill at a call":
        done = shop.run(stage, Fault(kill_at=call))
        wrong = [] if done.code in (0, -signal.SIGKILL) else [f"it ended with {done.code}: {_last(done.err)}"]
        return f"killed at call {call} of {known.run.calls}", wrong, done.tasks
    if kind in ("kill at a time", "signal"):
        number = signal.SIGKILL if kind != "signal" else draw.choice(sorted(SIGNALS))
        process = shop.start(stage)
        time.sleep(seconds)
        if process.pid and process.is_alive():
            os.kill(process.pid, number)
        done = shop.end(process)
        wrong = [] if number == signal.SIGKILL else list(_wrong_end(done, SIGNALS[number]))
        return f"{number.name} after {seconds:.2f} s of {known.run.seconds:.2f}", wrong, done.tasks
    if kind in ("full disk", "small files"):
        size = draw.choice((1_000, 20_000, 100_000))
        done = shop.run(stage, Fault(full_at=call) if kind == "full disk" else Fault(file_bytes=size))
        what = f"full at call {call}" if kind == "full disk" else f"no file beyond {size} bytes"
        printed = kind == "full disk" or len(done.err.encode()) < size  # else its last words found no room either
        return what, list(_wrong_end(done, 2, "the disk is full" if printed else "")), done.tasks
    if kind == "clock":
        fault = Fault(kill_at=call, clock=draw.choice((-1, 1)) * draw.uniform(1, 3e8))
        done = shop.run(stage, fault)
        return f"killed at call {call} with the clock wrong by {fault.clock:.0f} s", [], done.tasks
    return _two_runs(shop, stage, seconds)


def _two_runs(shop: Workshop, stage: Stage, seconds: float) -> tuple[str, list[str], Counter[str]]:
    """Run a stage twice in one folder, the second a little later; each ends well or is refused."""
    first = shop.start(stage)
    time.sleep(seconds / 2)
    second = shop.start(stage, name="second")
    ended = [shop.end(first), shop.end(second, "second")]
    wrong = [f"it ended with {one.code}: {_last(one.err)}" for one in ended if one.code and not _is_refusal(one)]
    if all(one.code for one in ended):
        wrong.append("both were refused")
    return f"two runs, {seconds / 2:.2f} s apart", wrong, Counter()


def _is_refusal(run: Run) -> bool:
    return run.code == 2 and "another run is writing" in run.err and "Traceback" not in run.err


def _wrong_end(run: Run, code: int, words: str = "repeat the command to continue") -> Iterator[str]:
    """Name what is wrong with the end of a run that was stopped: its code, its message, a traceback."""
    if run.code in (0, *BETWEEN_INTERPRETERS):
        return
    if run.code != code:
        yield f"it ended with {run.code} and not {code}: {_last(run.err)}"
    elif words not in run.err:
        yield f"it does not say {words!r}: {_last(run.err)}"
    if "Traceback" in run.err:
        yield f"a traceback: {_last(run.err)}"


def _last(text: str) -> str:
    return " | ".join(text.strip().splitlines()[-3:])


def campaign(
    shop: Workshop, names: Sequence[str], *, kills: int, seed: int, minutes: float, kinds: Sequence[str] = KINDS,
    verbose: bool = False, tally: Tally | None = None,
) -> Tally:  # fmt: skip
    """Disturb the stages in turn until so many runs were killed, or the time is over; complete the tally."""
    draw, start, number = random.Random(seed), time.monotonic(), 0
    tally = Tally() if tally is None else tally
    weights = [WEIGHTS[KINDS.index(kind)] for kind in kinds]
    while sum(tally.trials[kind] for kind in KINDS[:2]) < kills and time.monotonic() - start < 60 * minutes:
        name, kind = names[number % len(names)], draw.choices(kinds, weights)[0]
        number += 1
        if kind in shop.stages[name].spared:
            if len(names) == len(kinds) == 1:
                break
            continue
        before = len(tally.problems)
        trial(shop, name, kind, draw, tally)
        if verbose:
            sys.stderr.write(f"{number} {name}: {kind}: {'; '.join(tally.problems[before:]) or 'well'}\n")
    return tally


def main() -> None:
    """Read the options, run the campaign, print its line; the exit code is 1 if anything is wrong."""
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    reader.add_argument("--kills", type=int, default=500)
    reader.add_argument("--seed", type=int, default=0)
    reader.add_argument("--minutes", type=float, default=120)
    reader.add_argument("--stages", default="", help="comma-separated; all by default")
    reader.add_argument("--kinds", default="", help=f"comma-separated, of: {', '.join(KINDS)}")
    reader.add_argument("--verbose", action="store_true")
    asked = reader.parse_args()
    with tempfile.TemporaryDirectory(prefix="faults-") as home:
        shop, start = Workshop(Path(home)), time.monotonic()
        names = asked.stages.split(",") if asked.stages else list(shop.stages)
        kinds = asked.kinds.split(",") if asked.kinds else KINDS
        tally = Tally()
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):  # a stopped campaign tells what it found until then
            campaign(
                shop, names, kills=asked.kills, seed=asked.seed, minutes=asked.minutes, kinds=kinds,
                verbose=asked.verbose, tally=tally,
            )  # fmt: skip
    for problem in tally.problems:
        print(problem)
    print(tally.line(asked.seed, time.monotonic() - start))
    sys.exit(bool(tally.problems))


if __name__ == "__main__":
    main()
