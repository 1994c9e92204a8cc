"""Does the rule of domain shift find collections of another domain or language, and is it silent on sound ones?

    python benchmarks/domain_detector.py --data DATA                 # the table
    python benchmarks/domain_detector.py --data DATA --calibrate     # the threshold, from other collections

DATA holds BEIR folders (see SOURCES). The rule (`retroscope.drift.shift`) reads words only, so no model is run. Sound
cases: two halves of one collection, at random, or the first and the second half of its file, whose topics differ
(XQuAD's articles, PolicyQA's web sites). Shifted cases: two collections of different domains or languages; each is
drawn with two seeds, and a collection is in many pairs, so that cases are not independent. Pairs of one domain by
different authors are neither; what the rule says of them is printed below. 95 % Wilson intervals.
"""

import argparse
import json
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np

from detectors import line
from retroscope.drift.settings import ShiftSettings
from retroscope.drift.shift import ANOTHER, WORDS, WORDS_THRESHOLD, PassageSample, count_words, domain_shift, outcome

SOURCES = {
    "nq": "nq-open-gold", "scifact": "scifact", "pubmedqa": "pubmedqa-l", "policyqa": "policyqa/dev",
    "xquad-en": "xquad/en", "xquad-zh": "xquad/zh", "xquad-ar": "xquad/ar",
}  # fmt: skip
RELATED = (("nq", "xquad-en"), ("scifact", "pubmedqa"))  # English Wikipedia; biomedical abstracts
CALIBRATION = {"squad": "squad1-train5pct-tokenised", "xquad-de": "xquad/de"}  # and the reference of Python
SIZES = (240, 600)  # passages that the calibration draws of a collection, where it has them
PARAGRAPH = 30  # words of a paragraph of the reference of Python, at least
Interval = tuple[float, float, float]


def passages(folder: Path) -> list[str]:
    with (folder / "corpus.jsonl").open(encoding="utf-8") as lines:
        return [f"{record.get('title') or ''} {record['text']}" for record in map(json.loads, lines)]


def python_reference() -> list[str]:
    """Return the paragraphs of the language reference that every Python carries (`help('topics')`)."""
    every = (part for name in sorted(topics) for part in topics[name].split("\n\n"))
    return [part for part in every if len(part.split()) >= PARAGRAPH]


def shift(one: list[str], other: list[str], seed: int, texts: int = 600) -> Interval:
    """Return the shift of words between two lists of passages, with its interval."""
    samples = [drawn(side, seed, texts) for side in (one, other)]
    rows = domain_shift(samples[0], samples[1], ShiftSettings(texts=texts, neighbours=1, seed=seed))
    row = rows.set_index("statistic").loc[WORDS]
    return float(row["shift"]), float(row["low"]), float(row["high"])


def drawn(texts: list[str], seed: int, most: int) -> PassageSample:
    order = np.random.default_rng(seed).permutation(len(texts))[:most]
    counts, vocabulary = count_words(texts[k] for k in order)
    nothing = np.zeros(len(order), dtype=int)
    return PassageSample(counts, vocabulary, nothing, nothing, {})


def halves(texts: list[str], seed: int | None) -> tuple[list[str], list[str]]:
    """Return two halves: at random, or without a seed the first and the second of the file."""
    order = range(len(texts)) if seed is None else np.random.default_rng(seed).permutation(len(texts))
    every = [texts[k] for k in order]
    return every[: len(every) // 2], every[len(every) // 2 :]


def sound(texts: dict[str, list[str]], seeds: int) -> Iterator[tuple[str, Interval]]:
    for name, one in texts.items():
        for seed in (*range(seeds), None):
            how = "in the order of the file" if seed is None else "at random"
            yield f"{name}, {how}", shift(*halves(one, seed), seed or 0)


def shifted(texts: dict[str, list[str]], seeds: int) -> Iterator[tuple[str, Interval]]:
    for one, other in combinations(texts, 2):
        for seed in range(seeds):
            yield f"{one}, {other}", shift(texts[one], texts[other], seed)


def calibrate(data: Path) -> None:
    """Print the shift of every case of the calibration, and the threshold halfway between the two kinds."""
    texts = {name: passages(data / place) for name, place in CALIBRATION.items()} | {"python": python_reference()}
    values: dict[str, list[float]] = {"sound": [], "shifted": []}
    for size in SIZES:
        kept = {name: one if name == "xquad-de" else one[:size] for name, one in texts.items()}
        for kind, cases in (("sound", sound(kept, 2)), ("shifted", shifted(kept, 2))):
            for name, (value, low, high) in cases:
                values[kind].append(value)
                print(f"| {kind} | {name} | {size} | {value:.3f} [{low:.3f}, {high:.3f}] |")
    most, least = max(values["sound"]), min(values["shifted"])
    print(f"\nsound at most {most:.3f}, shifted at least {least:.3f}: threshold {(most + least) / 2:.2f}")


def judge(data: Path) -> None:
    """Print detection and false alarms, and the cases that are neither."""
    texts = {name: passages(data / place) for name, place in SOURCES.items()}
    unrelated = [case for case in shifted(texts, 2) if tuple(case[0].split(", ")) not in RELATED]
    related = [case for case in shifted(texts, 2) if tuple(case[0].split(", ")) in RELATED]
    alarms = list(sound(texts, 4))
    print("| failure | detected | false alarms |\n|---|---|---|")
    print(line("collection of another domain or language", *(is_another(cases) for cases in (unrelated, alarms))))
    print(f"\nthreshold {WORDS_THRESHOLD}\n\n| kind | case | shift of words | the rule says |\n|---|---|---|---|")
    for kind, cases in (("shifted", unrelated), ("related", related), ("sound", alarms)):
        for name, (value, low, high) in cases:
            print(f"| {kind} | {name} | {value:.3f} [{low:.3f}, {high:.3f}] | {outcome(low, high)} |")


def is_another(cases: list[tuple[str, Interval]]) -> list[bool]:
    return [outcome(low, high) == ANOTHER for _, (_, low, high) in cases]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--calibrate", action="store_true")
    args = parser.parse_args()
    (calibrate if args.calibrate else judge)(args.data)


if __name__ == "__main__":
    main()
