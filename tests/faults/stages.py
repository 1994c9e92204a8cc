"""The stages of Retroscope as command lines on a tiny pair: what the faults happen to."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tiny_pair import PEOPLE, TRAINED, TinyPair, make_tiny_pair

QUICK = "--set statistics.resamples=100 --set statistics.permutations=100"
NEURONS = (
    "--set neurons.attribution.limit=4 --set neurons.attribution.quadrature=gauss:2 --set neurons.ablation.draws=1 "
    "--set neurons.ablation.fractions=[0.1]"
)
TRANSPLANTS = "--set transplants.transplants=[block:1,attention] --set transplants.draws=0 --set transplants.shares=[]"
PROBES = "--probes cosine,bilinear --controls none --passages 2 --seeds 1"
ONLY_DRIFT = (
    "--no-random-weights --no-localisation --no-baselines --no-layers --no-probes --no-neurons --no-weights "
    "--no-transplants"
)
TRAINING = "--steps 8 --batch-size 8 --pooling mean --max-length 32 --set training.evaluations=4"
PRETRAINING = "--steps 12 --batch-size 8 --max-length 32 --set pretraining.checkpoints=4"


def _nothing(root: Path) -> None:
    """Begin with an empty folder."""


@dataclass(frozen=True)
class Stage:
    """A command.

    Attributes:
        words: of the command line, "{root}" stands for the folder that it may change.
        begin: fills that folder before the command runs.
        spared: kinds of faults that do not happen to it.
    """

    words: str
    begin: Callable[[Path], None] = _nothing
    spared: frozenset[str] = frozenset()

    def line(self, root: Path) -> list[str]:
        """Return the words of the command line in a folder."""
        return self.words.format(root=root).split()


@dataclass(frozen=True)
class Inputs:
    """What all stages read, in a folder of its own."""

    pair: TinyPair
    splits: Path
    texts: Path
    study: Path


def make_inputs(home: Path) -> Inputs:
    """Make a pair, its collection once more with splits to train with, and a file of texts; the study comes later."""
    pair = make_tiny_pair(home / "pair")
    splits, texts = home / "splits", home / "texts.txt"
    shutil.copytree(pair.collection, splits)
    judged = range(TRAINED, PEOPLE)
    for name, part in {"train": judged[:60], "dev": judged[60:75], "test": judged[75:]}.items():
        rows = "".join(f"q{i}\tp{i}\t1\n" for i in part)
        (splits / "qrels" / f"{name}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}")
    passages = [json.loads(line)["text"] for line in (splits / "corpus.jsonl").read_text().splitlines()]
    texts.write_text("".join(f"{one} and {other}\n" for one in passages for other in passages[:7]))
    return Inputs(pair, splits, texts, home / "study")


def stages(inputs: Inputs) -> dict[str, Stage]:
    """Return every stage by name."""
    before, after = inputs.pair.backbone, inputs.pair.retriever
    data, splits = f"--data beir:{inputs.pair.collection}", f"--data beir:{inputs.splits} --split train"
    one, two = f"{after} --pooling mean {data}", f"{before} {after} --pooling mean {data}"
    out, text = "--out {root}/out", f"--text {inputs.texts}"

    def copied(root: Path) -> None:
        shutil.copytree(inputs.study, root / "out")

    return {
        "embed": Stage(f"embed {after} --pooling mean --texts {inputs.texts} {out}"),
        "embed on Ray": Stage(
            f"embed {after} --pooling mean --texts {inputs.texts} --engine ray --workers 2 {out}",
            spared=frozenset({"small files"}),  # the limit would hold for the files of Ray's own processes, too
        ),
        "diff": Stage(f"diff {before} {after} {out}"),
        "retrieve": Stage(f"retrieve {one} --layers {QUICK} {out}"),
        "report": Stage("report {root}/out", copied),
        "pretrain": Stage(f"pretrain {text} --shape bert-1x32 --tokenizer words {PRETRAINING} {out}"),
        "crops": Stage(f"pretrain --objective crops {text} --shape bert-1x32 --tokenizer words {PRETRAINING} {out}"),
        "train": Stage(f"train {before} {splits} --dev dev {TRAINING} {out}"),
        "lora": Stage(f"train {before} {splits} --reinitialise ffn --strategy lora {TRAINING} {out}"),
        "probe": Stage(f"probe {one} {PROBES} {QUICK} {out}"),
        "neurons": Stage(f"neurons {one} {NEURONS} {QUICK} {out}"),
        "transplants": Stage(f"transplant {two} {TRANSPLANTS} {QUICK} {out}"),
        "drift": Stage(f"compare {two} {QUICK} {ONLY_DRIFT} {out}"),
        "grid": Stage(f"ablate {before} {splits} --test test --reinitialise none,all --seeds 0 {TRAINING} {out}"),
        "compare": Stage(f"compare {two} {PROBES} {NEURONS} {TRANSPLANTS} {QUICK} --measures RR@10,R@10 {out}"),
    }
