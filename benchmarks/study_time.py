"""Time a whole study, its first page and its encoding against what users do instead, on one machine in one run.

    python benchmarks/study_time.py BEFORE AFTER --data beir:FOLDER [--out DIR] [options of compare ...]

BEFORE and AFTER are folders that sentence-transformers loads and that need no prompts; FOLDER is in the BEIR layout.
Printed: seconds until the first page with retrieval and until each further page, the half-width of the main interval of
every analysis, seconds of `retroscope embed` of both models, and seconds of SentenceTransformer.encode with
InformationRetrievalEvaluator on both. The cache is new: nothing is reused.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep

EVALUATE = """
import csv, json, sys
from pathlib import Path
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

folder = Path(sys.argv[2])
lines = lambda name: map(json.loads, (folder / name).open())
corpus = {line["_id"]: f"{line.get('title', '')} {line['text']}".strip() for line in lines("corpus.jsonl")}
relevant = {}
for row in csv.DictReader((folder / "qrels/test.tsv").open(), delimiter="\\t"):
    if int(row["score"]) > 0:
        relevant.setdefault(row["query-id"], set()).add(row["corpus-id"])
queries = {line["_id"]: line["text"] for line in lines("queries.jsonl") if line["_id"] in relevant}
evaluator = InformationRetrievalEvaluator(queries, corpus, relevant, show_progress_bar=False)
results = evaluator(SentenceTransformer(sys.argv[1]))
print(max(value for name, value in results.items() if "ndcg" in name))
"""


def main() -> None:
    args = _arguments()
    with TemporaryDirectory() as scratch:
        encoding = _embedding_seconds(args, Path(scratch))
        folder = args.data.removeprefix("beir:")
        peer = sum(_seconds([sys.executable, "-c", EVALUATE, model, folder]) for model in args.models)
        first = _study(args, Path(args.out or scratch) / "study", Path(scratch) / "cache")
    print(f"embed, both models                  {encoding:8.1f} s")
    print(f"sentence-transformers, both models  {peer:8.1f} s")
    print(f"first page: {first / encoding:.2f} of the encoding, {first / peer:.2f} of sentence-transformers")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs=2, metavar="MODEL")
    parser.add_argument("--data", required=True, help="beir:FOLDER")
    parser.add_argument("--out", help="keep the study here")
    args, args.options = parser.parse_known_args()  # the rest are options of compare
    return args


def _seconds(command: list[str]) -> float:
    started = monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return monotonic() - started


def _retroscope(*words: str) -> list[str]:
    return [sys.executable, "-m", "retroscope", *words]


def _embedding_seconds(args: argparse.Namespace, scratch: Path) -> float:
    """Return the seconds in which both models encode the corpus."""
    corpus = [json.loads(line) for line in (Path(args.data.removeprefix("beir:")) / "corpus.jsonl").open()]
    texts = scratch / "texts.txt"
    texts.write_text(
        "".join(f"{line.get('title', '')} {line['text']}".replace("\n", " ").strip() + "\n" for line in corpus)
    )
    folders = {str(scratch / str(number)): model for number, model in enumerate(args.models)}
    return sum(
        _seconds(_retroscope("embed", model, "--texts", str(texts), "--tower", "passage", "--out", folder))
        for folder, model in folders.items()
    )


def _study(args: argparse.Namespace, out: Path, cache: Path) -> float:
    """Run the study; print when each page was written, and return the seconds until the first one with retrieval."""
    words = ["compare", *args.models, "--data", args.data, "--out", str(out), "--cache", str(cache), *args.options]
    started, first, pages = monotonic(), 0.0, set[str]()
    with subprocess.Popen(_retroscope(*words), stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            sleep(0.2)
            for name in _sections(out) - pages:
                pages.add(name)
                print(f"{monotonic() - started:8.1f} s  {name}", flush=True)
                first = first or (monotonic() - started if name == "retrieval" else 0.0)
    if process.returncode:
        sys.exit(process.returncode)
    print(f"{monotonic() - started:8.1f} s  everything")
    print(json.dumps(json.loads((out / "summary.json").read_text())["certainty"], indent=1))
    return first


def _sections(out: Path) -> set[str]:
    """Return the analyses that the folder's study holds by now."""
    try:
        study = json.loads((out / "study.json").read_text())
    except FileNotFoundError:
        return set()
    return set(study["measured"])


if __name__ == "__main__":
    main()
