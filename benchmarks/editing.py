"""Do edited facts arrive in the retriever? Facts are added and removed before and after fine-tuning, in the world.

    python benchmarks/editing.py --out runs/editing                 # all seeds; resumable, a model at a time
    python benchmarks/editing.py --out runs/editing --seeds 0       # one of them
    python benchmarks/editing.py --out runs/smoke --smoke           # a tiny run that only shows that it works
    python benchmarks/editing.py --page                             # writes the tables of docs/studies/editing.md

Of the held-out people of a world, half of the known ones are removed from the backbone by `retroscope edit`, and half
of the unknown ones added; the other halves are their controls. The truth is a backbone that was pre-trained on the same
world with these people unknown and known. R@10 of the passage about a person, by question and model, is written to
docs/studies/editing-retrieval.csv, and what each edit did to its model to docs/studies/editing-effects.csv.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.torch import load_file, save_file

from retroscope.collection.facts.records import Fact, make_facts
from retroscope.collection.readers.facts.layouts import fact_lines
from retroscope.collection.world.facts import facts_of_world
from retroscope.collection.world.files import PRETRAINING, write_world
from retroscope.collection.world.people import Person, WorldSettings
from retroscope.collection.world.world import make_world
from retroscope.encoders.loading import load_encoder, load_retriever
from retroscope.encoders.settings import LoadSettings
from retroscope.files import write_whole
from retroscope.inputs.load import collection_of
from retroscope.inputs.searched import searched
from retroscope.inputs.settings import DataSettings, ModelSettings
from retroscope.knowledge.editing.settings import EditSettings
from retroscope.statistics.resampling.crossed import crossed_mean, crossed_p
from retroscope.study.editing import EditStudySettings, edit, prepare_edit, run_edit
from retroscope.study.training.fine_tuning import TrainStudySettings, prepare_training, run_training
from retroscope.study.training.pretraining import PretrainStudySettings, prepare_pretraining, run_pretraining
from retroscope.training.pretraining_settings import PretrainingSettings
from retroscope.training.settings import TrainingSettings

DOCS = Path(__file__).parent.parent / "docs" / "studies"
RETRIEVAL, EFFECTS, PAGE = "editing-retrieval.csv", "editing-effects.csv", "editing.md"
LOAD = {"pooling": "mean", "similarity": "cosine", "max_length": 32}
ADDED, ADDED_CONTROLS, REMOVED, REMOVED_CONTROLS = GROUPS = (
    "added", "controls of added", "removed", "controls of removed"
)  # fmt: skip
MODELS = {
    "not edited": "not edited",
    "before": "edited before fine-tuning",
    "before, fine-tuning": "edited before, by constrained fine-tuning",
    "before, other person's facts": "edited before, with another person's facts (control)",
    "after, same change": "edited after: the backbone's change of the weights",
    "after, grafted head": "edited after: with the backbone's head",
    "truth": "truth: pre-trained with and without them",
    "backbone": "backbone, not fine-tuned, not edited",
    "backbone, edited": "backbone, not fine-tuned, edited",
}
MEASURE, WEIGHTS = "R@10", "model.safetensors"


@dataclass(frozen=True)
class Scale:
    """How large the experiment is."""

    world: WorldSettings
    shape: str
    pretraining: PretrainingSettings
    training: TrainingSettings
    edit: EditSettings


FULL = Scale(
    WorldSettings(people=160, trained=0.4, dev=0.05),
    "bert-3x64",
    PretrainingSettings(steps=2000, max_length=32, learning_rate=2e-3),
    TrainingSettings(steps=200, batch_size=64, learning_rate=5e-4),
    EditSettings(layer=1),
)
SMOKE = Scale(
    WorldSettings(people=30, trained=0.4, dev=0.1, documents=4),
    "bert-2x32",
    PretrainingSettings(steps=5, max_length=32),
    TrainingSettings(steps=2, batch_size=8),
    EditSettings(layer=1, steps=3, contexts=1, tokens=1000),
)


def main() -> None:
    """Run, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--page", action="store_true")
    chosen = parser.parse_args()
    if chosen.out is not None:
        for seed in chosen.seeds:
            Experiment(SMOKE if chosen.smoke else FULL, chosen.out, seed).run()
        gather(chosen.out, chosen.out if chosen.smoke else DOCS)
    if chosen.page:
        write_tables(DOCS)


@dataclass(frozen=True)
class Experiment:
    """One seed of training, in one world."""

    scale: Scale
    out: Path
    seed: int

    @property
    def folder(self) -> Path:
        """Return the folder of this seed."""
        return self.out / f"seed{self.seed}"

    def run(self) -> None:
        """Make what is missing, and write the scores of every model."""
        world, truth_world = self.written()
        backbone = self.pretrained(world, "backbone")
        removed = self.edited(backbone, "remove", "removed")
        full = self.edited(removed, "add", "edited")
        tuned = self.tuned(backbone, "not edited")
        self.tuned(full, "before")
        self.tuned(self.edited(removed, "swap", "edited-swapped"), "before, other person's facts")
        self.tuned(self.pretrained(truth_world, "truth-backbone"), "truth")
        ft = replace(self.scale.edit, editor="fine-tuning")
        self.tuned(self.edited(self.edited(backbone, "remove", "removed-ft", ft), "add", "edited-ft", ft),
                   "before, fine-tuning")  # fmt: skip
        self.changed_after(backbone, full, tuned)
        self.edited_after(backbone, tuned)
        self.measure("backbone", backbone, **LOAD)
        self.measure("backbone, edited", full, **LOAD)

    def written(self) -> tuple[Path, Path]:
        """Write the world, the one in which edited people have the other exposure, and the facts of each edit."""
        world = make_world(self.scale.world)
        people = groups(world.people)
        edited = [person.id for name in (ADDED, REMOVED) for person in people[name]]
        kept = [one.id for one in world.people if one.known and one.id not in edited]
        every = facts_of_world(world).facts
        facts = {"add": people[ADDED], "remove": people[REMOVED], "swap": people[ADDED]}
        parts = {name: [one.id for one in members] for name, members in facts.items()} | {"keep": kept}
        for name, ids in parts.items():
            part = [fact for fact in every if fact.id.rpartition("-")[0] in ids]
            part = swapped(part) if name == "swap" else part
            write_whole(self.out / f"{name}.jsonl", "".join(fact_lines(make_facts(part))).encode())
        truth = make_world(self.scale.world, edited)
        return write_world(world, self.out / "world"), write_world(truth, self.out / "truth-world")

    def pretrained(self, world: Path, name: str) -> Path:
        """Pre-train a backbone on the text of a world."""
        settings = PretrainStudySettings(
            text=(str(world / PRETRAINING),),
            shape=self.scale.shape,
            tokenizer="words",
            pretraining=replace(self.scale.pretraining, seed=self.seed),
        )
        run_pretraining(prepare_pretraining(settings), self.folder / name)
        return self.folder / name

    def edit_settings(self, backbone: Path, facts: str, edit: EditSettings | None = None) -> EditStudySettings:
        """Return the settings of an edit."""
        return EditStudySettings(
            backbone=str(backbone),
            facts=str(self.out / f"{facts}.jsonl"),
            add=facts != "remove",
            keep=str(self.out / "keep.jsonl"),
            text=str(self.out / "world" / PRETRAINING),
            edit=edit or self.scale.edit,
        )

    def edited(self, backbone: Path, facts: str, name: str, settings: EditSettings | None = None) -> Path:
        """Edit facts in a backbone."""
        folder = self.folder / name
        if not (folder / "training.json").is_file():
            run_edit(prepare_edit(self.edit_settings(backbone, facts, settings)), folder)
        self.keep_effects(name, json.loads((folder / "training.json").read_text())["effects"])
        return folder

    def tuned(self, backbone: Path, name: str) -> Path:
        """Fine-tune a backbone and measure the retriever."""
        folder, world = self.folder / "retrievers" / slug(name), self.out / "world"
        data = DataSettings(source=f"beir:{world}", split="train")
        settings = TrainStudySettings(
            backbone=ModelSettings(source=str(backbone), load=LoadSettings(**LOAD)),
            data=data,
            test=(replace(data, split="test"),),
            training=replace(self.scale.training, seed=self.seed),
        )
        run_training(prepare_training(settings), folder)
        self.measure(name, folder)
        return folder

    def changed_after(self, backbone: Path, edited: Path, tuned: Path) -> None:
        """Add the change of the backbone's weights to the retriever."""
        first, second = (
            {name.removeprefix("bert."): value for name, value in load_file(one / WEIGHTS).items()}
            for one in (backbone, edited)
        )
        weights = load_file(tuned / WEIGHTS)
        changed = {name: value + (second[name] - first[name]) if name in first else value
                   for name, value in weights.items()}  # fmt: skip
        self.measure("after, same change", self.rewritten(tuned, "same-change", changed))

    def edited_after(self, backbone: Path, tuned: Path) -> None:
        """Edit the retriever's encoder, whose states the backbone's head reads."""
        if self.has("after, grafted head"):
            return
        encoder = load_encoder(tuned)
        for facts in ("remove", "add"):
            job = replace(prepare_edit(self.edit_settings(backbone, facts)), encoder=encoder)
            _, measured = edit(job)
            self.keep_effects(f"{facts}, grafted head", {name: asdict(one) for name, one in measured.items()})
        weights = load_file(tuned / WEIGHTS)
        states = encoder.backbone.state_dict()
        changed = {name: states[name].contiguous() if name in states else value for name, value in weights.items()}
        self.measure("after, grafted head", self.rewritten(tuned, "grafted-head", changed))

    def rewritten(self, retriever: Path, name: str, weights: dict[str, Any]) -> Path:
        """Copy a retriever with other weights."""
        folder = self.folder / "retrievers" / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(retriever, folder)
        save_file(weights, folder / WEIGHTS, {"format": "pt"})
        return folder

    def measure(self, name: str, folder: Path, **load: Any) -> None:
        """Keep R@10 of every held-out question."""
        if self.has(name):
            return
        collection = collection_of(DataSettings(source=f"beir:{self.out / 'world'}", split="test"))
        scores = searched(load_retriever(folder, **load), collection, (MEASURE,), self.folder / "vectors")
        values = scores.select(measure=MEASURE).values
        kept = {str(query): float(value) for query, value in zip(values.indexes["query"], values.values.ravel(), strict=True)}
        self.keep("retrieval", name, kept)

    def keep_effects(self, name: str, effects: dict[str, Any]) -> None:
        """Keep what an edit did."""
        self.keep("effects", name, effects)

    def keep(self, kind: str, name: str, values: dict[str, Any]) -> None:
        """Add to the results of this seed."""
        write_whole(self.folder / f"{kind}.json", json.dumps(self.kept(kind) | {name: values}, indent=1).encode())

    def kept(self, kind: str) -> dict[str, Any]:
        """Return the results of this seed so far."""
        file = self.folder / f"{kind}.json"
        return dict(json.loads(file.read_text())) if file.is_file() else {}

    def has(self, name: str) -> bool:
        """Return whether a model is measured."""
        return name in self.kept("retrieval")


def slug(name: str) -> str:
    """Return a name as that of a folder."""
    return "".join(letter if letter.isalnum() else "-" for letter in name)


def groups(people: Sequence[Person]) -> dict[str, list[Person]]:
    """Return the held-out people by what is done to them: every second one is edited."""
    unknown, known = ([p for p in people if p.role == "held-out" and p.known == one] for one in (False, True))
    return {ADDED: unknown[::2], ADDED_CONTROLS: unknown[1::2], REMOVED: known[::2], REMOVED_CONTROLS: known[1::2]}


def swapped(facts: Sequence[Fact]) -> list[Fact]:
    """Return the facts with the objects of another person: of the next one."""
    subjects = list(dict.fromkeys(fact.subject for fact in facts))
    following = dict(zip(subjects, [*subjects[1:], subjects[0]], strict=True))
    objects = {(fact.subject, fact.relation): fact.object for fact in facts}
    return [replace(fact, object=objects[following[fact.subject], fact.relation]) for fact in facts]


def gather(out: Path, to: Path) -> None:
    """Write the results of all seeds that are there."""
    scale_world = json.loads((out / "world" / "world.json").read_text())["settings"]
    people = groups(make_world(WorldSettings(**scale_world)).people)
    group = {person.id: name for name, members in people.items() for person in members}
    rows, effects = [], []
    for folder in sorted(out.glob("seed*")):
        seed = int(folder.name.removeprefix("seed"))
        for name, scores in json.loads((folder / "retrieval.json").read_text()).items():
            rows += [(seed, name, group[query.split("-")[0]], query, value) for query, value in scores.items()]
        for name, found in json.loads((folder / "effects.json").read_text()).items():
            effects += [{"seed": seed, "edit": name, "effect": effect, **one} for effect, one in found.items()]
    frame = pd.DataFrame(rows, columns=["seed", "model", "group", "query", MEASURE])
    frame.to_csv(to / RETRIEVAL, index=False)
    pd.DataFrame(effects).round(6).to_csv(to / EFFECTS, index=False)


def write_tables(folder: Path) -> None:
    """Write the tables between the marks of the page."""
    frame, effects = pd.read_csv(folder / RETRIEVAL), pd.read_csv(folder / EFFECTS)
    tables = {"retrieval": retrieval_table(frame), "differences": difference_table(frame),
              "effects": effects_table(effects)}  # fmt: skip
    page = (folder / PAGE).read_text(encoding="utf-8")
    for name, table in tables.items():
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = page.partition(start)
        page = f"{before}{start}{table}\n{end}{rest.partition(end)[2]}"
    write_whole(folder / PAGE, page.encode())


def table_of(frame: pd.DataFrame, model: str, group: str) -> np.ndarray:
    """Return the scores of one model and group, seed x query."""
    part = frame[(frame.model == model) & (frame.group == group)]
    return part.pivot(index="seed", columns="query", values=MEASURE).to_numpy()


def retrieval_table(frame: pd.DataFrame) -> str:
    """Return R@10 of every model and group, as Markdown."""
    sizes = [f"{group} ({table_of(frame, 'not edited', group).shape[1]})" for group in GROUPS]
    lines = [f"| {MEASURE} | {' | '.join(sizes)} |", "|---|---|---|---|---|"]
    for model, label in MODELS.items():
        cells = [crossed_mean(table_of(frame, model, group), bounds=(0, 1)) for group in GROUPS]
        lines.append(f"| {label} | {' | '.join(f'{c.mean:.3f} [{c.low:.3f}, {c.high:.3f}]' for c in cells)} |")
    return "\n".join(lines)


def difference_table(frame: pd.DataFrame) -> str:
    """Return the paired differences to the retriever that is not edited, as Markdown."""
    lines = [f"| {MEASURE}, difference | {' | '.join(GROUPS)} |", "|---|---|---|---|---|"]
    for model in [name for name in MODELS if name != "not edited" and not name.startswith("backbone")]:
        cells = []
        for group in GROUPS:
            change = table_of(frame, model, group) - table_of(frame, "not edited", group)
            one = crossed_mean(change, bounds=(-1, 1))
            cells.append(f"{one.mean:+.3f} [{one.low:+.3f}, {one.high:+.3f}], p = {crossed_p(change):.2g}")
        lines.append(f"| {MODELS[model]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def effects_table(effects: pd.DataFrame) -> str:
    """Return what each edit did, as means over the seeds, as Markdown."""
    names = list(dict.fromkeys(effects.effect))
    lines = [f"| edit | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for edit_name in dict.fromkeys(effects.edit):
        cells = []
        for name in names:
            part = effects[(effects.edit == edit_name) & (effects.effect == name)]
            cells.append(
                f"{part.before.mean():.2f} → {part.after.mean():.2f}, n = {part.n.iloc[0]}" if len(part) else ""
            )
        lines.append(f"| {edit_name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
