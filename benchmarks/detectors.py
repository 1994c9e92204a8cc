"""Does `doctor` find the failures that it has checks for, and does it stay silent on sound checkpoints?

    python benchmarks/detectors.py --cases 20
    python benchmarks/detectors.py --only adapter

A case is a tiny model in a published layout (tests/published_layouts.py), or the demo's trained retriever, with one
failure planted; a sound case is the same without it. Detected: the check of that failure reports it at the stated
severity or worse. The thresholds in the code were set before this was run, none on these cases. 95 % Wilson intervals.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from statsmodels.stats.proportion import proportion_confint
from transformers import AutoModel, AutoTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from published_layouts import add_adapter, publish, write
from retroscope.collection.loading import load_collection
from retroscope.encoders.checkpoints.folders import quiet
from retroscope.encoders.checks.finding import ERROR, NOTE, SEVERITIES, WARNING
from retroscope.encoders.loading import load_retriever
from retroscope.encoders.settings import LoadSettings
from retroscope.inputs.settings import DataSettings, ModelSettings
from retroscope.study.demo import shipped, write_demo_world
from retroscope.study.doctor.diagnosis import diagnose
from retroscope.study.doctor.recipes_tried import leak_findings, recipe_finding, small_sample, with_fields, with_prompts

ENCODERS = ("e5", "gte", "multilingual-e5", "all-mpnet", "tas-b", "gtr-t5", "modernbert-embed", "all-minilm")
COSINE = tuple(name for name in ENCODERS if name != "tas-b")  # whose preset says dot
DECODERS = ("qwen3-embedding", "e5-mistral")


@dataclass(frozen=True)
class Case:
    """A checkpoint to look at: its folder, how it is loaded, and the backbone of a pair."""

    folder: Path
    load: LoadSettings
    before: Path | None = None


@dataclass(frozen=True)
class Failure:
    """How a failure is planted, and what must report it.

    Attributes:
        names: presets whose layouts it is planted in.
        plant: changes a sound case.
        checks: names of the checks that may report it.
        severity: the least that counts.
    """

    names: tuple[str, ...]
    plant: Callable[[Case, int], Case]
    checks: tuple[str, ...]
    severity: str
    sound: Callable[[Case, int], Case] = lambda case, seed: case


def sound_case(name: str, seed: int, folder: Path) -> Case:
    return Case(publish(name, folder, seed)["query"], LoadSettings(preset=name))


def reported(case: Case, failure: Failure) -> bool:
    models = {"model": ModelSettings(source=str(case.folder), load=case.load)}
    if case.before is not None:
        before = ModelSettings(source=str(case.before), load=case.load)
        models = {"before": before, "after": models["model"]}
    worst = SEVERITIES.index(failure.severity)
    with quiet():
        findings = diagnose(models).findings
    return any(f.check in failure.checks and SEVERITIES.index(f.severity) <= worst for _, f in findings)


def loaded_as(**fields: object) -> Callable[[Case, int], Case]:
    return lambda case, seed: replace(case, load=replace(case.load, **fields))


def edit(case: Case, name: str, **changes: object) -> Case:
    file = case.folder / name
    write(file, {**json.loads(file.read_text()), **changes})
    return case


def without_dense(case: Case, seed: int) -> Case:
    rows = json.loads((case.folder / "modules.json").read_text())
    write(case.folder / "modules.json", [row for row in rows if not row["type"].endswith("Dense")])
    return replace(case, load=LoadSettings())


def without_pooling_file(case: Case, seed: int) -> Case:
    gone = case.folder / ("1_Pooling/config.json" if seed % 2 else "modules.json")
    gone.unlink()
    return replace(case, load=LoadSettings(pooling=None if seed % 2 else "mean"))


def card_asks_for_prompts(case: Case, seed: int) -> Case:
    asked = ('"query: "', "`search_query: `", '"Represent this sentence for searching relevant passages:"')[seed % 3]
    (case.folder / "README.md").write_text(f"# Model\nEach text needs a prefix, {asked} for queries.\n")
    return replace(case, load=LoadSettings())


def without_preset(case: Case, seed: int) -> Case:
    return replace(case, load=LoadSettings())


def without_eos(case: Case, seed: int) -> Case:
    file = case.folder / "tokenizer.json"
    raw = json.loads(file.read_text())
    ends = raw["post_processor"]["single"]
    raw["post_processor"]["single"] = [part for k, part in enumerate(ends) if k == 0 or "Sequence" in part]
    if "Sequence" not in raw["post_processor"]["single"][0]:
        raw["post_processor"]["single"] = [part for part in ends if "Sequence" in part or part is ends[0]]
    file.write_text(json.dumps(raw))
    return replace(case, load=LoadSettings(append_eos=False))


def records_cosine(case: Case, seed: int) -> Case:
    return edit(case, "config_sentence_transformers.json", similarity_fn_name="cosine")


def compared_by_dot(case: Case, seed: int) -> Case:
    return replace(records_cosine(case, seed), load=replace(case.load, similarity="dot"))


def grown(case: Case, seed: int) -> Case:
    with quiet():
        model, tokens = AutoModel.from_pretrained(case.folder), AutoTokenizer.from_pretrained(case.folder)
        tokens.add_tokens([f"gene{seed}", "protein"])
        torch.manual_seed(seed)
        model.resize_token_embeddings(len(tokens), mean_resizing=True)
        model.save_pretrained(case.folder)
        tokens.save_pretrained(case.folder)
    return case


def grown_and_trained(case: Case, seed: int) -> Case:
    grown(case, seed)
    file = case.folder / "model.safetensors"
    tensors = load_file(file)
    name = next(key for key in tensors if "word_embeddings" in key or "tok_embeddings" in key or "embed_tokens" in key)
    generator = torch.Generator().manual_seed(seed)
    tensors[name][-2:] += 0.3 * torch.randn(2, tensors[name].shape[1], generator=generator)
    save_file(tensors, file, {"format": "pt"})
    return case


def adapted(case: Case, seed: int) -> Case:
    base = case.folder.rename(case.folder.with_name(f"{case.folder.name}-base"))
    for extra in ("modules.json", "1_Pooling", "2_Normalize"):
        place = base / extra
        shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
    return Case(add_adapter(base, case.folder, seed=seed), LoadSettings(pooling="last_token", append_eos=True))


def changed_adapter(
    change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]],
) -> Callable[[Case, int], Case]:
    def plant(case: Case, seed: int) -> Case:
        made = adapted(case, seed)
        file = made.folder / "adapter_model.safetensors"
        save_file(change(load_file(file)), file, {"format": "pt"})
        return made

    return plant


def narrow(case: Case, seed: int) -> Case:
    """A large constant is added to every final vector: all texts lie in one direction."""
    file = case.folder / "model.safetensors"
    tensors = load_file(file)
    name = sorted(key for key in tensors if key.endswith("output.LayerNorm.bias") and "attention" not in key)[-1]
    tensors[name] += 4 + seed % 5
    save_file(tensors, file, {"format": "pt"})
    return case


def spread(case: Case, seed: int) -> Case:
    """Random weights find every text alike; here what texts share is taken out, as contrastive training does."""
    file = case.folder / "model.safetensors"
    tensors = load_file(file)
    for name in tensors:
        if name.endswith("embeddings.weight") and "word" in name:
            tensors[name] *= 20
        elif "LayerNorm.bias" in name or "position_embeddings" in name:
            tensors[name] *= 0
    save_file(tensors, file, {"format": "pt"})
    return case


def untrained(steps: float) -> Callable[[Case, int], Case]:
    def plant(case: Case, seed: int) -> Case:
        file = case.folder / "model.safetensors"
        tensors = load_file(file)
        generator = torch.Generator().manual_seed(seed)
        for name, tensor in tensors.items():
            if "norm" in name.lower() and name.endswith("weight"):
                tensors[name] = 1 + steps * torch.randn(tensor.shape, generator=generator)
        save_file(tensors, file, {"format": "pt"})
        return case

    return plant


FAILURES: dict[str, Failure] = {
    "CLS pooling on a decoder": Failure(DECODERS, loaded_as(pooling="cls"), ("pooling",), ERROR),
    "last column of a batch padded on the right": Failure(
        DECODERS, loaded_as(pooling="last_column", padding_side="right"), ("batch", "padding_right"), ERROR
    ),
    "mean over a decoder": Failure(DECODERS, loaded_as(pooling="mean"), ("pooling",), NOTE),
    "missing prompt": Failure(
        ("all-mpnet", "gte", "tas-b", "all-minilm"), card_asks_for_prompts, ("prompts",), WARNING, without_preset
    ),
    "missing EOS": Failure(DECODERS, without_eos, ("last token",), WARNING),
    "another similarity than recorded": Failure(COSINE, compared_by_dot, ("similarity",), WARNING, records_cosine),
    "skipped Dense head": Failure(("gtr-t5", "ance", "embeddinggemma", "sentence-t5"), without_dense, ("head",), ERROR),
    "pooling file missing": Failure(ENCODERS, without_pooling_file, ("loading", "pooling", "head"), ERROR),
    "tokenizer grown, not trained": Failure(
        ("e5", "gte", "all-minilm"), grown, ("new tokens",), WARNING, grown_and_trained
    ),
    "adapter attached nowhere": Failure(
        DECODERS, changed_adapter(lambda t: {k.replace("self_attn", "attention"): v for k, v in t.items()}),
        ("loading",), ERROR, adapted,
    ),
    "adapter that changes nothing": Failure(
        DECODERS, changed_adapter(lambda t: {k: v * ("lora_A" in k) for k, v in t.items()}),
        ("loading",), ERROR, adapted,
    ),
    "all similarities above .9": Failure(("e5", "gte", "all-minilm"), narrow, ("similarities",), WARNING, spread),
    "backbone hardly trained": Failure(ENCODERS, untrained(0.003), ("training",), WARNING),
}  # fmt: skip


def run_case(failure: Failure, planted: bool, seed: int, folder: Path) -> bool:
    name = failure.names[seed % len(failure.names)]
    case = failure.sound(sound_case(name, seed, folder), seed) if not planted else None
    if case is None:
        case = failure.plant(sound_case(name, seed, folder), seed)
    found = reported(case, failure)
    for place in (case.folder, case.folder.with_name(f"{case.folder.name}-base")):
        with suppress(FileNotFoundError):
            shutil.rmtree(place)
    return found


def recipes(cases: int, folder: Path) -> Iterator[tuple[str, list[bool], list[bool]]]:
    """One trained retriever on many draws of queries: wrong recipes must be found, its own must not be doubted."""
    world = write_demo_world(folder / "world")
    retriever = load_retriever(shipped().retriever)
    collection = load_collection(f"beir:{world}", split="known-held-out")
    wrong = {
        "cls pooling": with_fields(retriever, pooling="cls"),
        "last-token pooling": with_fields(retriever, pooling="last_token"),
        "prompts that it was not trained with": with_prompts(retriever, "search_query: ", "search_document: "),
    }
    draws = [small_sample(collection, seed) for seed in range(cases)]
    alarms = [recipe_finding(retriever, one, "", k).severity == WARNING for k, one in enumerate(draws)]
    for what, other in wrong.items():
        found = [recipe_finding(other, one, "", k).severity == WARNING for k, one in enumerate(draws)]
        yield f"doctor --data: {what}", found, alarms


def leaks(cases: int, folder: Path) -> tuple[str, list[bool], list[bool]]:
    """BEIR folders whose test split shares from 1 to 10 of 30 queries with the training split, or none."""
    outcome: dict[bool, list[bool]] = {True: [], False: []}
    for seed in range(cases):
        for planted in (True, False):
            place = write_split(folder / f"leak-{seed}-{planted}", seed, 1 + seed % 10 if planted else 0)
            data = DataSettings(source=f"beir:{place}")
            findings = list(leak_findings(load_collection(data.source), data))
            outcome[planted].append(any(f.check == "leaks" and f.severity == WARNING for f in findings))
    return "test queries in the training split", outcome[True], outcome[False]


def write_split(folder: Path, seed: int, shared: int) -> Path:
    random = np.random.default_rng(seed)
    (folder / "qrels").mkdir(parents=True)
    words = [f"word{n}" for n in random.permutation(5000)[:600]]
    passages = [{"_id": f"p{k}", "text": " ".join(words[6 * k : 6 * k + 6])} for k in range(60)]
    queries = [{"_id": f"q{k}", "text": " ".join(words[360 + 4 * k : 364 + 4 * k])} for k in range(60)]
    for k in range(shared):
        queries[30 + k]["text"] = str(queries[k]["text"]).upper()
    for name, rows in (("corpus", passages), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    for split, numbers in (("test", range(30)), ("train", range(30, 60))):
        rows = "".join(f"q{k}\tp{k}\t1\n" for k in numbers)
        (folder / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}")
    return folder


def line(name: str, found: list[bool], alarms: list[bool]) -> str:
    return f"| {name} | {share(found)} | {share(alarms)} |"


def share(outcomes: list[bool]) -> str:
    low, high = proportion_confint(sum(outcomes), len(outcomes), method="wilson")
    return f"{sum(outcomes)} of {len(outcomes)} [{low:.2f}, {high:.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--only", default="", help="failures whose name contains this")
    parser.add_argument("--models-only", action="store_true", help="leave out the recipes that are tried on data")
    args = parser.parse_args()
    print("| failure | detected | false alarms |\n|---|---|---|")
    with TemporaryDirectory() as work:
        folder = Path(work)
        for name, failure in FAILURES.items():
            if args.only in name:
                runs = {
                    p: [run_case(failure, p, s, folder / f"{p}{s}") for s in range(args.cases)] for p in (True, False)
                }
                print(line(name, runs[True], runs[False]), flush=True)
        if args.only in "test queries in the training split":
            print(line(*leaks(args.cases, folder)), flush=True)
        if args.only in "doctor --data" and not args.models_only:
            for outcome in recipes(args.cases, folder):
                print(line(*outcome), flush=True)


if __name__ == "__main__":
    main()
