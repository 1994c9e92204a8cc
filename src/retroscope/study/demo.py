"""The demo's models: a backbone pre-trained on a made-up world, a retriever, and one trained from scratch.

What each of them has seen is known: half of the people are in the pre-training text, and most, known or not, in the
training questions. The three were made by `retroscope demo --retrain`.
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
from retroscope.numbers import interval, score
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
SMALLER = {  # what would take the demo over a minute
    "neurons": {
        "attribution": {"tower": "passage", "limit": 30},
        "ablation": {"fractions": [0.01, 0.1], "draws": 5, "passages": 150},
    },
    "probes": {"passages": [2, 5]},
    "transplants": {"passages": 150, "draws": 4, "shares": []},
}
TITLE = "The shipped pair in a world of invented people"


@dataclass(frozen=True)
class Shipped:
    """Folders of the demo's three models: backbone, retriever, and a retriever trained from scratch."""

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
    """Train the demo's three models again below `folder`, in half precision. A stopped run resumes.

    They are trained in single precision in `folder`/work.
    """
    made, world = in_folder(folder / "work"), write_demo_world(folder / "world")
    text = PretrainStudySettings(
        text=(str(world / PRETRAINING),), shape=SHAPE, tokenizer="words", pretraining=PRETRAINED
    )
    run_pretraining(prepare_pretraining(text), made.backbone, progress)
    data = DataSettings(source=f"beir:{world}", split="train")
    tests = tuple(replace(data, split=name) for name in STRATA)
    common = TrainStudySettings(
        backbone=ModelSettings(source=str(made.backbone), load=LOAD), data=data, test=tests, training=TRAINED
    )
    for place, parts in ((made.retriever, ()), (made.scratch, ("all",))):
        run_training(prepare_training(replace(common, reinitialise=parts)), place, progress)
    for place in (made.backbone, made.retriever, made.scratch):
        halve(place, folder / place.name)
        forget_places(folder / place.name, (folder / "work", folder))
    return in_folder(folder)


def forget_places(model: Path, places: tuple[Path, ...]) -> None:
    """Replace folders in the paths that a model's card and training record contain."""
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
    """Mean score of one retriever on the questions about one stratum of the world, with its interval."""

    retriever: str
    stratum: str
    measure: str
    mean: float
    ci_low: float
    ci_high: float
    n: int


def exposures(models: Shipped, world: Path, cache: Path, progress: Progress | None = None) -> list[StratumScore]:
    """Measure each retriever on each stratum of the world: facts seen in pre-training, and facts not seen."""
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
    """Return the notes that a reader of the demo's report needs first."""
    by_retriever = {(row.retriever, row.stratum): row for row in rows}

    def said(stratum: str, retriever: str = "pre-trained") -> str:
        row = by_retriever[retriever, stratum]
        return f"{score(row.mean)} {interval(row.ci_low, row.ci_high)}"

    return [
        "This is the demo. Its collection is about invented people. Questions use the name of a person, and passages "
        "use only the alias. For half of the test questions, no training text links the name to the passage, so no "
        f"model can answer them. The retriever's {MEASURE} is {said('known-held-out')} for people whose facts were in "
        f"the pre-training text of its backbone, and {said('unknown-held-out')} for the others. For a retriever that "
        f"was trained from random weights, {MEASURE} is {said('known-held-out', 'from scratch')} and "
        f"{said('unknown-held-out', 'from scratch')} (chance {10 / WORLD.people:.3f}). See docs/methods/world.md."
    ]


def exposures_table(rows: Sequence[StratumScore]) -> str:
    """Return the scores by stratum as a table of text."""
    lines = [f"{MEASURE} by exposure in training ({WORLD.people} passages, chance {10 / WORLD.people:.3f}):"]
    lines += [
        f"  {row.retriever:<13}{row.stratum:<18}{score(row.mean)} {interval(row.ci_low, row.ci_high)}" for row in rows
    ]
    return "\n".join(lines)
