"""The demo's three models: a backbone, a retriever fine-tuned from it, and a retriever from random weights.

The texts are about invented people, so it is known which facts each model has seen. Half of the people occur in the
pre-training text of the backbone. Most people, whether they occur there or not, occur in the training questions.
`retroscope demo --retrain` makes the three models.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from safetensors.torch import load_file, save_file

from retroscope.collection.world.files import PRETRAINING, write_world
from retroscope.collection.world.people import WorldSettings
from retroscope.collection.world.world import make_world
from retroscope.encoders.loading import load_retriever
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import AnalysisError
from retroscope.inputs.load import collection_of
from retroscope.inputs.searched import searched
from retroscope.inputs.settings import DataSettings, ModelSettings
from retroscope.number_format import interval, score
from retroscope.progress import Progress
from retroscope.statistics.resampling.outcomes import outcome_mean
from retroscope.study.training.fine_tuning import prepare_training, run_training
from retroscope.study.training.pretraining import prepare_pretraining, run_pretraining
from retroscope.study.training.settings import PretrainStudySettings, TrainStudySettings
from retroscope.training.folder import ABOUT
from retroscope.training.pretraining.settings import PretrainingSettings
from retroscope.training.settings import TrainingSettings

WORLD = WorldSettings(people=500, seed=0)
PRETRAINED = PretrainingSettings(steps=4000, batch_size=64, max_length=64, learning_rate=1e-3)
TRAINED = TrainingSettings(steps=200, batch_size=128, learning_rate=2e-4)
SHAPE = "bert-3x128"
LOAD = LoadSettings(pooling="mean", similarity="cosine", max_length=64)
STRATA = ("known-held-out", "unknown-held-out", "known-trained", "unknown-trained", "lexical")
MEASURE = "R@10"
SMALLER = {  # smaller samples for analyses that would take too long in a demo
    "neurons": {
        "attribution": {"tower": "passage", "limit": 30},
        "ablation": {"fractions": [0.01, 0.1], "draws": 5, "passages": 150},
    },
    "probes": {"passages": [5]},
    "transplants": {"passages": 150, "draws": 4, "shares": []},
}
TITLE = "The shipped pair in a world of invented people"
LEGEND = (
    "  pre-trained, from scratch: retrievers that were fine-tuned from the demo's backbone and from random weights",
    "  known: the backbone's pre-training text describes the person; unknown: it does not",
    "  trained: fine-tuning questions are about the person; held-out: none is",
    "  lexical: the question uses the alias that stands in the passage, so it needs no knowledge",
)


@dataclass(frozen=True)
class Shipped:
    """Folders of the demo's models: the backbone, the retriever, and a retriever trained from random weights."""

    backbone: Path
    retriever: Path
    scratch: Path


def in_folder(folder: Path) -> Shipped:
    """Return the paths of the demo's three models below a folder."""
    return Shipped(folder / "backbone", folder / "retriever", folder / "scratch")


def shipped() -> Shipped:
    """Return the paths of the models that come with the package.

    Raises:
        AnalysisError: if the package was installed without its data.
    """
    folder = Path(str(files("retroscope"))) / "shipped"
    if not (folder / "retriever" / "model.safetensors").is_file():
        raise AnalysisError(
            "this installation lacks the models of the demo",
            where=str(folder),
            fix="install retroscope again, or train the models: retroscope demo --retrain",
        )
    return in_folder(folder)


def write_demo_world(folder: Path) -> Path:
    """Write the made-up world that the demo's models were trained on, and return its folder."""
    return write_world(make_world(WORLD), folder)


def retrain(folder: Path, progress: Progress | None = None) -> Shipped:
    """Train the demo's three models again, and write them below `folder` with weights in half precision.

    The training itself runs in single precision in `folder`/work, where a stopped run resumes.
    """
    work, world = in_folder(folder / "work"), write_demo_world(folder / "world")
    text = PretrainStudySettings(
        text=(str(world / PRETRAINING),), shape=SHAPE, tokenizer="words", pretraining=PRETRAINED
    )
    run_pretraining(prepare_pretraining(text), work.backbone, progress)
    data = DataSettings(source=f"beir:{world}", split="train")
    tests = tuple(replace(data, split=name) for name in STRATA)
    common = TrainStudySettings(
        backbone=ModelSettings(source=str(work.backbone), load=LOAD), data=data, test=tests, training=TRAINED
    )
    for place, parts in ((work.retriever, ()), (work.scratch, ("all",))):
        run_training(prepare_training(replace(common, reinitialise=parts)), place, progress)
    for place in (work.backbone, work.retriever, work.scratch):
        halve(place, folder / place.name)
        forget_places(folder / place.name, (folder / "work", folder))
    return in_folder(folder)


def forget_places(model: Path, places: tuple[Path, ...]) -> None:
    """Remove the leading folders `places` from all paths in a model's card and training record."""
    for file in (model / "README.md", model / ABOUT):
        text = file.read_text(encoding="utf-8")
        for place in places:
            text = text.replace(f"{place}/", "")
        file.write_text(text, encoding="utf-8")


def halve(single: Path, folder: Path) -> None:
    """Copy a model folder with its weights rounded to half precision.

    `config.json` still says float32, so every tool loads the weights as float32.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(single, folder)
    weights = {name: tensor.half() for name, tensor in load_file(single / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


@dataclass(frozen=True)
class StratumScore:
    """Mean score of one retriever, with its interval, on one group (stratum) of test questions.

    Attributes:
        retriever: "pre-trained" or "from scratch".
        stratum: name of the group. Questions are grouped by what the retriever has seen, e.g. "unknown-held-out": about
            people who occur neither in the pre-training text nor in the training questions.
        mean, ci_low, ci_high: mean score over queries, and the ends of its interval.
        n: how many queries were asked.
    """

    retriever: str
    stratum: str
    measure: str
    mean: float
    ci_low: float
    ci_high: float
    n: int


def exposures(models: Shipped, world: Path, cache: Path, progress: Progress | None = None) -> list[StratumScore]:
    """Score both retrievers on each group of test questions, e.g. about people who occur in the pre-training text."""
    rows = []
    for name, place in (("pre-trained", models.retriever), ("from scratch", models.scratch)):
        retriever = load_retriever(place)
        for stratum in STRATA:
            collection = collection_of(DataSettings(source=f"beir:{world}", split=stratum))
            scores = searched(retriever, collection, (MEASURE,), cache, progress)
            values = scores.select(measure=MEASURE).values.values
            mean = outcome_mean(values[:, None])
            rows.append(StratumScore(name, stratum, MEASURE, float(mean.mean[0]), float(mean.low[0]),
                                     float(mean.high[0]), int(mean.n[0])))  # fmt: skip
    return rows


def demo_caveats(rows: Sequence[StratumScore]) -> list[str]:
    """Return the first caveat of the demo's report: what its collection is, and the scores of both retrievers on it."""
    by_retriever = {(row.retriever, row.stratum): row for row in rows}

    def score_text(stratum: str, retriever: str = "pre-trained") -> str:
        row = by_retriever[retriever, stratum]
        return f"{score(row.mean)} {interval(row.ci_low, row.ci_high)}"

    return [
        "This is the demo. Its collection is about invented people. Questions use the name of a person, and passages "
        "use only the alias. For half of the test questions, no training text links the name to the passage, so no "
        f"model can answer them. The retriever's {MEASURE} is {score_text('known-held-out')} for people whose facts "
        f"were in the pre-training text of its backbone, and {score_text('unknown-held-out')} for the others. For a "
        f"retriever that was trained from random weights, {MEASURE} is "
        f"{score_text('known-held-out', 'from scratch')} and "
        f"{score_text('unknown-held-out', 'from scratch')} (chance {10 / WORLD.people:.3f}). See docs/methods/world.md."
    ]


def exposures_table(rows: Sequence[StratumScore]) -> str:
    """Return the scores for each group of test questions as a plain-text table."""
    lines = [f"{MEASURE} by exposure in training ({WORLD.people} passages, chance {10 / WORLD.people:.3f}):"]
    lines += [
        f"  {row.retriever:<13}{row.stratum:<18}{score(row.mean)} {interval(row.ci_low, row.ci_high)}" for row in rows
    ]
    return "\n".join([*lines, *LEGEND])
