"""Do edited facts arrive in the retriever? Facts are added and removed before and after fine-tuning, in the world.

    python benchmarks/editing.py --out runs/editing                 # all seeds of fine-tuning; resumable
    python benchmarks/editing.py --out runs/editing --truth         # and the truth, which pre-trains once more
    python benchmarks/editing.py --out runs/smoke --smoke --truth   # a tiny run that only shows that it works
    python benchmarks/editing.py --page                             # writes the tables of docs/studies/editing.md

The backbone is the shipped one. Of the held-out people of its world, every third known one is removed by `retroscope
edit`, and every third unknown one is added; the others are their controls. The truth is a backbone that was
pre-trained in the same way on the same world with these people unknown and known. R@10 of the passage about a person,
by question, model and seed, is written to docs/studies/editing-retrieval.csv, and what each edit did to its model to
docs/studies/editing-effects.csv.
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
from retroscope.collection.world.people import Person
from retroscope.collection.world.world import make_world
from retroscope.encoders.loading import load_encoder, load_retriever
from retroscope.encoders.settings import LoadSettings
from retroscope.files.whole import write_whole
from retroscope.inputs.load import collection_of
from retroscope.inputs.searched import searched
from retroscope.inputs.settings import DataSettings, ModelSettings
from retroscope.knowledge.editing.effects import GENERALITY, RELIABILITY, read_facts
from retroscope.knowledge.editing.settings import EditSettings
from retroscope.statistics.resampling.crossed import crossed_mean, crossed_p
from retroscope.study.demo import PRETRAINED, SHAPE, WORLD, shipped
from retroscope.study.editing import edit, prepare_edit, run_edit
from retroscope.study.training.fine_tuning import prepare_training, run_training
from retroscope.study.training.pretraining import prepare_pretraining, run_pretraining
from retroscope.study.training.settings import EditStudySettings, PretrainStudySettings, TrainStudySettings
from retroscope.training.pretraining.settings import PretrainingSettings
from retroscope.training.settings import TrainingSettings

DOCS = Path(__file__).parent.parent / "docs" / "studies"
RETRIEVAL, EFFECTS, PAGE = "editing-retrieval.csv", "editing-effects.csv", "editing.md"
ALIASES = "editing-aliases.csv"
LOAD = {"pooling": "mean", "similarity": "cosine", "max_length": 64}
NO_SEED = -1  # of what is not fine-tuned
ADDED, ADDED_CONTROLS, REMOVED, REMOVED_CONTROLS = GROUPS = (
    "added", "controls of added", "removed", "controls of removed"
)  # fmt: skip
LAST = "after, grafted head"  # what is measured last of a seed
MODELS = {
    "not edited": "not edited",
    "before": "edited before fine-tuning",
    "before, other person's facts": "edited before, with another person's facts (control)",
    "after, same change": "edited after: the backbone's change of the weights",
    LAST: "edited after: with the backbone's head",
    "truth": "truth: pre-trained with and without them",
    "backbone": "backbone, not fine-tuned, not edited",
    "backbone, edited": "backbone, not fine-tuned, edited",
}
RIDGE = {"add": 300.0, "swap": 300.0, "remove": 1000.0}  # the values of a removal are larger
MEASURE, WEIGHTS = "R@10", "model.safetensors"


@dataclass(frozen=True)
class Scale:
    """How large the experiment is."""

    pretraining: PretrainingSettings
    training: TrainingSettings
    edit: EditSettings


FULL = Scale(PRETRAINED, TrainingSettings(steps=100, batch_size=64, learning_rate=4e-4),
             EditSettings(layer=1, contexts=0, steps=60, unlikely=0.01))  # fmt: skip
SMOKE = Scale(
    replace(PRETRAINED, steps=2), TrainingSettings(steps=2, batch_size=8), EditSettings(layer=1, contexts=0, steps=2)
)


def main() -> None:
    """Run, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--truth", action="store_true", help="pre-train the truth, too, if it is not there")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--page", action="store_true")
    chosen = parser.parse_args()
    if chosen.out is not None:
        experiment = Experiment(SMOKE if chosen.smoke else FULL, chosen.out, truth=chosen.truth)
        experiment.run(chosen.seeds)
        gather(chosen.out, chosen.out if chosen.smoke else DOCS)
    if chosen.page:
        write_tables(DOCS)


@dataclass(frozen=True)
class Experiment:
    """Edits of one backbone, each fine-tuned with several seeds."""

    scale: Scale
    out: Path
    truth: bool

    def run(self, seeds: Sequence[int]) -> None:
        """Make what is missing, and write the scores of every model."""
        self.write_worlds()
        backbone = shipped().backbone
        removed = self.edited(backbone, "remove", "removed")
        backbones = {
            "not edited": backbone,
            "before": self.edited(removed, "add", "edited"),
            "before, other person's facts": self.edited(removed, "swap", "edited-swapped"),
        }
        if self.truth:
            backbones["truth"] = self.pretrained()
        for name, label in (("not edited", "backbone"), ("before", "backbone, edited")):
            self.measure(label, NO_SEED, backbones[name], **LOAD)
            self.read_aliases(name, backbones[name])
        for seed in seeds:
            tuned = {name: self.tuned(one, name, seed) for name, one in backbones.items()}
            self.changed_after(backbones["before"], tuned["not edited"], seed)
            self.edited_after(tuned["not edited"], seed)

    def write_worlds(self) -> None:
        """Write the world, the one in which edited people have the other exposure, and the facts of each edit."""
        world = make_world(WORLD)
        people = groups(world.people)
        edited = [person.id for name in (ADDED, REMOVED) for person in people[name]]
        kept = [one.id for one in world.people if one.known and one.role == "held-out" and one.id not in edited]
        facts = {"add": people[ADDED], "remove": people[REMOVED], "swap": people[ADDED]}
        parts = {name: [one.id for one in members] for name, members in facts.items()} | {"keep": kept}
        for name, ids in parts.items():
            part = [fact for fact in facts_of_world(world).facts if fact.id.rpartition("-")[0] in ids]
            part = swapped(part) if name == "swap" else part
            self.out.mkdir(parents=True, exist_ok=True)
            write_whole(self.out / f"{name}.jsonl", "".join(fact_lines(make_facts(part))).encode())
        write_world(world, self.out / "world")
        write_world(make_world(WORLD, edited), self.out / "truth-world")

    def pretrained(self) -> Path:
        """Pre-train the truth as the shipped backbone was."""
        settings = PretrainStudySettings(
            text=(str(self.out / "truth-world" / PRETRAINING),),
            shape=SHAPE,
            tokenizer="words",
            pretraining=self.scale.pretraining,
        )
        run_pretraining(prepare_pretraining(settings), self.out / "truth-backbone")
        return self.out / "truth-backbone"

    def edit_settings(self, backbone: Path, facts: str) -> EditStudySettings:
        """Return the settings of an edit."""
        return EditStudySettings(
            backbone=str(backbone),
            facts=str(self.out / f"{facts}.jsonl"),
            add=facts != "remove",
            keep=str(self.out / "keep.jsonl"),
            text=str(self.out / "world" / PRETRAINING),
            edit=replace(self.scale.edit, ridge=RIDGE[facts]),
        )

    def edited(self, backbone: Path, facts: str, name: str) -> Path:
        """Edit facts in a backbone."""
        folder = self.out / name
        document = run_edit(prepare_edit(self.edit_settings(backbone, facts)), folder)
        self.keep("effects", f"{name}, backbone", NO_SEED, document["effects"])
        return folder

    def read_aliases(self, name: str, backbone: Path) -> None:
        """Keep P@1 of the aliases alone: without them no name leads to a passage."""
        for facts, group in (("add", ADDED), ("remove", REMOVED)):
            job = prepare_edit(self.edit_settings(backbone, facts))
            chosen = [fact for fact in job.facts if fact.relation == "alias"]
            read = read_facts(job.encoder, job.head, chosen, job.keep, job.held_out).values
            means = {effect: float(read[effect].mean()) for effect in (RELIABILITY, GENERALITY)}
            self.keep("aliases", f"{name}, {group}", NO_SEED, {**means, "n": len(chosen)})

    def tuned(self, backbone: Path, name: str, seed: int) -> Path:
        """Fine-tune a backbone and measure the retriever."""
        folder = self.out / "retrievers" / f"{slug(name)}-{seed}"
        data = DataSettings(source=f"beir:{self.out / 'world'}", split="train")
        settings = TrainStudySettings(
            backbone=ModelSettings(source=str(backbone), load=LoadSettings(**LOAD)),
            data=data,
            test=(replace(data, split="test"),),
            training=replace(self.scale.training, seed=seed),
        )
        run_training(prepare_training(settings), folder)
        self.measure(name, seed, folder)
        return folder

    def changed_after(self, edited: Path, tuned: Path, seed: int) -> None:
        """Add the change of the backbone's weights to the retriever."""
        first, second = (
            {name.removeprefix("bert."): value.float() for name, value in load_file(one / WEIGHTS).items()}
            for one in (shipped().backbone, edited)
        )
        weights = load_file(tuned / WEIGHTS)
        changed = {name: value + (second[name] - first[name]) if name in first else value
                   for name, value in weights.items()}  # fmt: skip
        self.measure("after, same change", seed, self.rewritten(tuned, f"same-change-{seed}", changed))

    def edited_after(self, tuned: Path, seed: int) -> None:
        """Edit the retriever's encoder, whose states the backbone's head reads."""
        if self.has(LAST, seed):
            return
        encoder = load_encoder(tuned)
        for facts in ("remove", "add"):
            job = replace(prepare_edit(self.edit_settings(shipped().backbone, facts)), encoder=encoder)
            effects = {effect: asdict(one) for effect, one in edit(job).effects.items()}
            self.keep("effects", f"{facts}, retriever with the backbone's head", seed, effects)
        weights, states = load_file(tuned / WEIGHTS), encoder.backbone.state_dict()
        changed = {key: states[key].contiguous() if key in states else value for key, value in weights.items()}
        self.measure(LAST, seed, self.rewritten(tuned, f"grafted-head-{seed}", changed))

    def rewritten(self, retriever: Path, name: str, weights: dict[str, Any]) -> Path:
        """Copy a retriever with other weights."""
        folder = self.out / "retrievers" / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(retriever, folder)
        save_file(weights, folder / WEIGHTS, {"format": "pt"})
        return folder

    def measure(self, name: str, seed: int, folder: Path, **load: Any) -> None:
        """Keep R@10 of every held-out question."""
        if self.has(name, seed):
            return
        collection = collection_of(DataSettings(source=f"beir:{self.out / 'world'}", split="test"))
        scores = searched(load_retriever(folder, **load), collection, (MEASURE,), self.out / "vectors")
        values = scores.select(measure=MEASURE).values
        by_query = zip(values.indexes["query"], values.values.ravel(), strict=True)
        self.keep("retrieval", name, seed, {str(query): float(value) for query, value in by_query})

    def keep(self, kind: str, name: str, seed: int, values: dict[str, Any]) -> None:
        """Add to the results."""
        rows = [row for row in kept(self.out, kind) if (row["name"], row["seed"]) != (name, seed)]
        rows.append({"name": name, "seed": seed, "values": values})
        write_whole(self.out / f"{kind}.json", json.dumps(rows, indent=1).encode())

    def has(self, name: str, seed: int) -> bool:
        """Return whether a model is measured."""
        return any((row["name"], row["seed"]) == (name, seed) for row in kept(self.out, "retrieval"))


def kept(out: Path, kind: str) -> list[dict[str, Any]]:
    """Return the results so far."""
    file = out / f"{kind}.json"
    return list(json.loads(file.read_text())) if file.is_file() else []


def slug(name: str) -> str:
    """Return a name as that of a folder."""
    return "".join(letter if letter.isalnum() else "-" for letter in name)


def groups(people: Sequence[Person]) -> dict[str, list[Person]]:
    """Return the held-out people by what is done to them: every third one is edited."""
    unknown, known = ([p for p in people if p.role == "held-out" and p.known == one] for one in (False, True))
    rest = [[p for k, p in enumerate(part) if k % 3] for part in (unknown, known)]
    return {ADDED: unknown[::3], ADDED_CONTROLS: rest[0], REMOVED: known[::3], REMOVED_CONTROLS: rest[1]}


def swapped(facts: Sequence[Fact]) -> list[Fact]:
    """Return the facts with the objects of another person: of the next one."""
    subjects = list(dict.fromkeys(fact.subject for fact in facts))
    following = dict(zip(subjects, [*subjects[1:], subjects[0]], strict=True))
    objects = {(fact.subject, fact.relation): fact.object for fact in facts}
    return [replace(fact, object=objects[following[fact.subject], fact.relation]) for fact in facts]


def gather(out: Path, to: Path) -> None:
    """Write the results of all seeds that are complete."""
    people = groups(make_world(WORLD).people)
    group = {person.id: name for name, members in people.items() for person in members}
    whole = {NO_SEED, *(row["seed"] for row in kept(out, "retrieval") if row["name"] == LAST)}
    rows = [
        (row["seed"], row["name"], group[query.split("-")[0]], query, value)
        for row in kept(out, "retrieval")
        if row["seed"] in whole
        for query, value in row["values"].items()
    ]
    effects = [
        {"seed": row["seed"], "edit": row["name"], "effect": effect, **one}
        for row in kept(out, "effects")
        if row["seed"] in whole
        for effect, one in row["values"].items()
    ]
    frame = pd.DataFrame(rows, columns=["seed", "model", "group", "query", MEASURE])
    frame.to_csv(to / RETRIEVAL, index=False)
    aliases = [{"read": row["name"], **row["values"]} for row in kept(out, "aliases")]
    pd.DataFrame(aliases).round(6).to_csv(to / ALIASES, index=False)
    pd.DataFrame(effects).round(6).to_csv(to / EFFECTS, index=False)


def write_tables(folder: Path) -> None:
    """Write the tables between the marks of the page."""
    frame, effects = pd.read_csv(folder / RETRIEVAL), pd.read_csv(folder / EFFECTS)
    aliases = pd.read_csv(folder / ALIASES).groupby("read", sort=False)
    tables = {"retrieval": retrieval_table(frame), "differences": difference_table(frame),
              "effects": effects_table(effects),
              "aliases": aliases_table(aliases.first())}  # fmt: skip
    page = (folder / PAGE).read_text(encoding="utf-8")
    for name, table in tables.items():
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = page.partition(start)
        page = f"{before}{start}{table}\n{end}{rest.partition(end)[2]}"
    write_whole(folder / PAGE, page.encode())


def aliases_table(aliases: pd.DataFrame) -> str:
    """Return P@1 of the aliases, as Markdown."""
    lines = ["| alias alone, P@1 | n | edited cloze | other wordings |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {row.n:.0f} | {row[RELIABILITY]:.2f} | {row[GENERALITY]:.2f} |" for name, row in aliases.iterrows()
    ]
    return "\n".join(lines)


def table_of(frame: pd.DataFrame, model: str, group: str) -> np.ndarray:
    """Return the scores of one model and group, seed x query."""
    part = frame[(frame.model == model) & (frame.group == group)]
    return part.pivot(index="seed", columns="query", values=MEASURE).to_numpy()


def retrieval_table(frame: pd.DataFrame) -> str:
    """Return R@10 of every model and group, as Markdown."""
    sizes = [f"{group} ({table_of(frame, 'not edited', group).shape[1]})" for group in GROUPS]
    lines = [f"| {MEASURE} | {' | '.join(sizes)} |", "|---|---|---|---|---|"]
    for model, label in [(name, label) for name, label in MODELS.items() if name in set(frame.model)]:
        cells = [crossed_mean(table_of(frame, model, group), bounds=(0, 1)) for group in GROUPS]
        lines.append(f"| {label} | {' | '.join(f'{c.mean:.3f} [{c.low:.3f}, {c.high:.3f}]' for c in cells)} |")
    return "\n".join(lines)


def difference_table(frame: pd.DataFrame) -> str:
    """Return the paired differences to the retriever that is not edited, as Markdown."""
    lines = [f"| {MEASURE}, difference | {' | '.join(GROUPS)} |", "|---|---|---|---|---|"]
    compared = [name for name in MODELS if name != "not edited" and not name.startswith("backbone")]
    for model in [name for name in compared if name in set(frame.model)]:
        cells = []
        for group in GROUPS:
            change = table_of(frame, model, group) - table_of(frame, "not edited", group)
            one = crossed_mean(change, bounds=(-1, 1))
            cells.append(f"{one.mean:+.3f} [{one.low:+.3f}, {one.high:+.3f}], p = {crossed_p(change):.2g}")
        lines.append(f"| {MODELS[model]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def effects_table(effects: pd.DataFrame) -> str:
    """Return what each edit did, as Markdown; of several seeds the means, and the lowest and highest difference."""
    lines = ["| edit | effect | n | before | after | difference |", "|---|---|---|---|---|---|"]
    for (edit_name, effect), part in effects.groupby(["edit", "effect"], sort=False):
        low, high = (part.low, part.high) if len(part) == 1 else (part.difference, part.difference)
        limits = f"{low.min():+.3f}, {high.max():+.3f}"
        limits = f"[{limits}]" if len(part) == 1 else f"({len(part)} seeds: {limits})"
        means = f"{part.before.mean():.3f} | {part.after.mean():.3f} | {part.difference.mean():+.3f} {limits}"
        lines.append(f"| {edit_name} | {effect} | {part.n.iloc[0]} | {means} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
