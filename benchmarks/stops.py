"""Stop studies at ten random moments: is each stop a valid study, and does it end with the same bytes?

    python benchmarks/stops.py [--stops 10] [--seed 0] [--keep DIR] [BEFORE AFTER --data SPEC --pooling mean ...]

Without models, the demo's pair and world. An undisturbed run is timed first. A study then runs again and again with the
same command, each time for a random part of the undisturbed time, and is stopped by SIGINT, SIGTERM or SIGKILL in turn.
If it ends before its stop, another study begins. After each stop, once the folder holds a report: `retroscope show`
must read it, and Chromium must open its page without an error on the console. Every file of every study that has ended
is compared with the undisturbed run's, recorded times aside. The exit code is 1 if a stop left an invalid study, or a
file differs.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "faults"))
from footprint import footprint

from retroscope.study.demo import shipped, write_demo_world

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
NO_REPORT, VALID = "no report yet", "valid, its page opens"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> int:
    """Run both studies and print a line for each stop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stops", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for both studies; by default they are removed")
    args, words = parser.parse_known_args()
    with TemporaryDirectory() as scratch:
        home = args.keep or Path(scratch)
        return stopped_and_compared(home, words or demo_pair(home), args.stops, random.Random(args.seed))


def demo_pair(home: Path) -> list[str]:
    """Write the demo's world, and return the words of `compare` for it."""
    models, world = shipped(), write_demo_world(home.resolve() / "world")
    return [str(models.backbone), str(models.retriever), "--pooling", "mean", "--data", f"beir:{world}"]


def stopped_and_compared(home: Path, words: Sequence[str], stops: int, rng: random.Random) -> int:
    """Run an undisturbed study and stopped ones, and return 1 if anything is wrong with the latter."""
    start = monotonic()
    run(home / "whole", words)
    seconds = monotonic() - start
    print(f"undisturbed: {seconds:.0f} s", flush=True)
    invalid, differing, number, study = 0, 0, 0, 1
    while number < stops:
        place, limit, sent = home / f"stopped{study}", rng.uniform(0, seconds), SIGNALS[number % len(SIGNALS)]
        if stopped(place, words, limit, sent):
            number += 1
            state = problem(place / "out")
            invalid += state not in ("", NO_REPORT)
            print(f"stop {number}, study {study}: {sent.name} after {limit:.0f} s: {state or VALID}", flush=True)
        else:
            study += 1
            differing += compared(home, place)
    run(place, words)
    differing += compared(home, place)
    print(f"{number} stops of {study} studies: {invalid} invalid, {differing} files differ from the undisturbed run")
    return int(bool(invalid or differing))


def compared(home: Path, place: Path) -> int:
    """Print and count the files of a finished study that differ from the undisturbed one."""
    whole, other = footprint(home / "whole"), footprint(place)
    lines = [*(f"differs: {path}" for path in whole.differing(other)),
             *(f"left over: {path}" for path in whole.leftovers(other))]  # fmt: skip
    print(f"{place.name} has ended: {len(lines)} files differ", *lines, sep="\n", flush=True)
    shutil.rmtree(place)
    return len(lines)


def command(home: Path, words: Sequence[str]) -> list[str]:
    """Return the command of a study with a cache of its own; both studies have the same relative paths."""
    return [sys.executable, "-m", "retroscope", "compare", *words, "--out", "out", "--cache", "cache"]


def run(home: Path, words: Sequence[str]) -> None:
    """Run a study to its end."""
    home.mkdir(parents=True, exist_ok=True)
    subprocess.run(command(home, words), cwd=home, check=True, capture_output=True)


def stopped(home: Path, words: Sequence[str], seconds: float, sent: signal.Signals) -> bool:
    """Run a study and stop it; return False if it ended before."""
    home.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(command(home, words), cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
        return False
    process.send_signal(sent)
    process.wait(120)
    return True


def problem(out: Path) -> str:
    """Return what is wrong with a stopped study, or "" if it is valid."""
    page = out / "report.html"
    if not page.exists():
        return NO_REPORT
    shown = subprocess.run([sys.executable, "-m", "retroscope", "show", str(out)], capture_output=True, text=True)
    if shown.returncode:
        return f"`show` ends with {shown.returncode}: {shown.stderr.strip()}"
    json.loads((out / "summary.json").read_text("utf-8"))
    return " ".join(console_errors(page))


def console_errors(page: Path) -> list[str]:
    """Open a page in Chromium, and return the errors on its console."""
    from playwright.sync_api import sync_playwright

    errors: list[str] = []
    executable = next(filter(None, map(shutil.which, BROWSERS)))
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        tab = browser.new_page()
        tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto(page.resolve().as_uri())
        tab.wait_for_load_state()
        browser.close()
    return errors


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
