"""Peak memory of `embed` and `retrieve` by the size of the corpus, each in a process of its own.

    python benchmarks/memory.py                                   # the shipped retriever, 2,600 and 200,000 passages
    python benchmarks/memory.py --model MODEL --sizes 2600 200000 1000000

Passages and 500 queries are made of random words of the tokenizer. The vectors of all layers are stored in a new
folder, which is removed afterwards. The memory is the largest resident set of the process, with Python and libraries.
"""

import argparse
import json
import os
import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

QUERIES, WORDS = 500, 20
SHIPPED = Path(__file__).resolve().parents[1] / "src" / "retroscope" / "shipped" / "retriever"
COMMANDS = {
    "embed": "embed {model} --texts {data}/texts.txt --out {out}/embedded",
    "retrieve": "retrieve {model} --data beir:{data} --layers --out {out}/retrieved --cache {out}/cache",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(SHIPPED), help="a folder that records its pooling")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[2_600, 200_000], help="numbers of passages, at least 500"
    )
    args = parser.parse_args()
    peaks: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for size in args.sizes:
        with TemporaryDirectory() as home:
            write_collection(Path(home) / "data", size, _vocabulary(args.model))
            for name, command in COMMANDS.items():
                words = command.format(model=args.model, data=f"{home}/data", out=home).split()
                peaks[name].append(peak(words))
                ratio = peaks[name][-1] / peaks[name][0]
                print(f"{name:9} {size:>9,} passages  {peaks[name][-1]:7.0f} MiB  {ratio:.3f} of the first", flush=True)


def _vocabulary(model: str) -> list[str]:
    from transformers import AutoTokenizer

    return sorted(word for word in AutoTokenizer.from_pretrained(model).get_vocab() if word.isalpha() and len(word) > 2)


def write_collection(folder: Path, size: int, words: list[str]) -> None:
    """Write made-up passages in the BEIR layout, and the passages' texts, one a line."""
    (folder / "qrels").mkdir(parents=True)
    draw = random.Random(0)
    with (folder / "corpus.jsonl").open("w") as corpus, (folder / "texts.txt").open("w") as texts:
        for n in range(size):
            text = " ".join(draw.choices(words, k=WORDS))
            corpus.write(json.dumps({"_id": f"p{n}", "title": "", "text": text}) + "\n")
            texts.write(text + "\n")
    rows = ["query-id\tcorpus-id\tscore", *(f"q{n}\tp{n}\t1" for n in range(QUERIES))]
    (folder / "qrels" / "test.tsv").write_text("\n".join(rows) + "\n")
    queries = (
        json.dumps({"_id": f"q{n}", "text": " ".join(draw.choices(words, k=5)) + f" {n}"}) for n in range(QUERIES)
    )
    (folder / "queries.jsonl").write_text("\n".join(queries) + "\n")


def peak(words: list[str]) -> float:
    """Run a command of Retroscope to its end, and return its largest resident set in MiB."""
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.execv(sys.executable, [sys.executable, "-m", "retroscope", *words])
    _, status, usage = os.wait4(child, 0)
    if status:
        sys.exit(f"{' '.join(words)} ended with {os.waitstatus_to_exitcode(status)}")
    return usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
