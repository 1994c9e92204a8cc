"""One cell of the study of universality: a backbone is pre-trained, fine-tuned and measured in a controlled world."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Judgment
from retroscope.collection.world.people import WorldSettings
from retroscope.collection.world.texts import documents
from retroscope.collection.world.world import World, make_world
from retroscope.encoders.checkpoints.folders import quiet
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever, look_both_ways
from retroscope.encoders.settings import LoadSettings
from retroscope.files.whole import new_folder, remove_whole, write_whole
from retroscope.inputs.load import retriever_of
from retroscope.inputs.searched import searched
from retroscope.inputs.settings import DataSettings, ModelSettings
from retroscope.study.training.fine_tuning import TrainJob, run_training
from retroscope.study.training.grid import with_labels
from retroscope.study.training.pretraining import prepare_pretraining, run_pretraining
from retroscope.study.training.settings import PretrainStudySettings, TrainStudySettings
from retroscope.training.contrastive import train
from retroscope.training.model import Base, build_model
from retroscope.training.pairs import Pairs, check_held_out, training_pairs
from retroscope.training.pretraining.settings import PretrainingSettings
from retroscope.training.pretraining.vocabulary import train_tokenizer
from retroscope.training.settings import TrainingSettings
from universality_shapes import MAX_LENGTH, SHAPES, FirstDecoderState, Scale

STRATA = {"known": "known-held-out", "unknown": "unknown-held-out", "lexical": "lexical"}
ALL, POOLS = "all", ("all", "known", "unknown")  # whose passages are searched
FIRST = "first"  # the pooling of a decoder's first state


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What is pre-trained, and how it is fine-tuned.

    Attributes:
        shape: a name in `SHAPES`.
        objective: of the pre-training; "none": the weights stay random.
        share: steps of pre-training, as a share of the scale's.
        documents: about each person in the pre-training text; None: the scale's.
        shuffled: names of known people are permuted in the pre-training text: every fact is of somebody else.
        pooling: "first" reads the decoder's first state.
        both_ways: the causal mask is lifted, before and in fine-tuning.
        labels: share of the training questions.
        tuning: steps of fine-tuning, as a multiple of the scale's.
    """

    shape: str = "bert"
    objective: str = "mlm"
    share: float = 1.0
    documents: int | None = None
    shuffled: bool = False
    pooling: str = "mean"
    both_ways: bool = False
    strategy: str = "full"
    labels: float = 1.0
    tuning: int = 1

    def backbone(self, seed: int) -> str:
        """Return the name of the folder of its backbone."""
        text = (
            f"{'-shuffled' if self.shuffled else ''}{'' if self.documents is None else f'-{self.documents}documents'}"
        )
        return f"{self.shape}-{self.objective}-{self.share:g}{text}-seed{seed}"

    def name(self, seed: int) -> str:
        """Return the name of the file of its result."""
        ways = "-bothways" if self.both_ways else ""
        longer = "" if self.tuning == 1 else f"-{self.tuning}times"
        return f"{self.backbone(seed)}-{self.pooling}{ways}-{self.strategy}-{self.labels:g}{longer}"


def world_of(scale: Scale, arm: Arm | None = None) -> World:
    """Return the world of an arm; names, passages and questions are the same for all."""
    said = scale.documents if arm is None or arm.documents is None else arm.documents
    return make_world(WorldSettings(people=scale.people, trained=0.375, dev=0.0, documents=said, seed=0))


def pretraining_text(world: World, *, shuffled: bool) -> tuple[str, ...]:
    """Return the documents; shuffled, each known name has the facts of another known person."""
    if not shuffled:
        return world.pretraining
    known = [person for person in world.people if person.known]
    order = np.random.default_rng(7).permutation(len(known))
    wrong = {known[a].id: known[b].name for a, b in zip(order, np.roll(order, 1), strict=True)}
    rng = np.random.default_rng([world.settings.seed, 2])
    people = [replace(person, name=wrong.get(person.id, person.name)) for person in world.people]
    texts = [text for person in people for text in documents(person, world.settings.documents, rng)]
    return tuple(texts[at] for at in rng.permutation(len(texts)))


def held_out(world: World, people: str = ALL) -> Collection:
    """Return the questions about people that no training question is about, and passages.

    Args:
        people: "all": every passage of the world. "known" or "unknown": the passages of these people alone, and the
            questions about them: peers, of the same exposure in both trainings.
    """
    kept = {person.id for person in world.people if people == ALL or person.stratum == STRATA[people]}
    asked = {query.id: (query, person) for name in STRATA.values() for query, person in world.splits[name]}
    asked = {name: one for name, one in asked.items() if one[1] in kept}
    judgments = [Judgment(query.id, person) for query, person in asked.values()]
    passages = [passage for passage in world.passages if passage.id in kept]
    return make_collection(f"held-out-{people}", passages, [query for query, _ in asked.values()], judgments)


def pretrained(scale: Scale, arm: Arm, seed: int, work: Path) -> Path:
    """Pre-train the backbone of an arm, or find it; a pre-training that was killed begins anew."""
    kind = "shuffled" if arm.shuffled else "facts"
    text = work / "text" / f"{kind}-{arm.documents or scale.documents}.txt"
    if not text.exists():
        lines = pretraining_text(world_of(scale, arm), shuffled=arm.shuffled)
        write_whole(text, "".join(f"{line}\n" for line in lines).encode())
    start = work / "starts" / f"{arm.shape}-{text.stem}-seed{seed}"
    if not start.exists():
        _write_start(scale, arm, seed, text.read_text("utf-8").splitlines(), start)
    if arm.objective == "none":
        return start
    chosen = PretrainingSettings(
        objective=arm.objective,
        steps=max(1, round(scale.steps * arm.share)),
        batch_size=scale.batch_size,
        max_length=MAX_LENGTH,
        learning_rate=scale.learning_rate,
        checkpoints=1,
        seed=seed,
    )
    folder = work / "backbones" / arm.backbone(seed)
    how = PretrainStudySettings(text=(str(text),), start=str(start), pretraining=chosen)
    run_pretraining(prepare_pretraining(how), folder)
    return folder


def _write_start(scale: Scale, arm: Arm, seed: int, lines: list[str], folder: Path) -> None:
    """Write random weights; everything is trained from such a folder, so that no shape has another treatment."""
    family, build = SHAPES[arm.shape]
    tokenizer = train_tokenizer(lines, "words", family, max_length=MAX_LENGTH)
    torch.manual_seed(seed)
    model = build(scale, tokenizer)
    with quiet(), new_folder(folder) as new:
        model.save_pretrained(new)
        tokenizer.save_pretrained(new)


def recipe_of(arm: Arm) -> LoadSettings:
    """Return the recipe of an arm, before fine-tuning and after."""
    causal, pooling = (False if arm.both_ways else None), ("cls" if arm.pooling == FIRST else arm.pooling)
    return LoadSettings(pooling=pooling, similarity="cosine", max_length=MAX_LENGTH, causal=causal)


def training_of(scale: Scale, arm: Arm, seed: int) -> TrainingSettings:
    """Return the fine-tuning of an arm; the rates are the library's customary ones, times 10 (few steps)."""
    chosen = TrainingSettings(strategy=arm.strategy)
    return replace(
        chosen, learning_rate=10 * chosen.peak_rate, steps=arm.tuning * scale.fine_tuning_steps, batch_size=scale.pairs,
        evaluations=1, seed=seed,
    )  # fmt: skip


def run_cell(scale: Scale, arm: Arm, seed: int, work: Path) -> dict[str, Any]:
    """Return the result of a cell: read where it is finished, else made and then written at once."""
    file = work / "cells" / f"{arm.name(seed)}.json"
    if file.exists():
        found = json.loads(file.read_text("utf-8"))
        if found["scale"] != asdict(scale) | {"seeds": found["scale"]["seeds"]}:
            raise ValueError(f"{file}: made at another scale; name another --work")
        return dict(found)
    backbone = pretrained(scale, arm, seed, work)
    measured = (_first_state if arm.pooling == FIRST else _usual)(scale, arm, seed, backbone, work)
    document = {"scale": asdict(scale), "arm": asdict(arm), "seed": seed, **measured}
    write_whole(file, (json.dumps(document, indent=1) + "\n").encode())
    return document


def _usual(scale: Scale, arm: Arm, seed: int, folder: Path, work: Path) -> dict[str, Any]:
    """Measure a backbone and the retriever made of it."""
    place = retriever_place(work, arm, seed)
    remove_whole(place)
    before = retriever_of(ModelSettings(source=str(folder), load=recipe_of(arm)))
    after = (_looking_both_ways if arm.both_ways else _fine_tuned)(scale, arm, seed, folder, place)
    sides, cache = {"before": before, "after": after}, work / "vectors" / arm.name(seed)
    ranks = {side: in_pools(scale, partial(_found, one, cache / side)) for side, one in sides.items()}
    remove_whole(cache)
    return {"parameters": sum(p.numel() for p in before.passage.backbone.parameters()), "ranks": ranks}


def in_pools(scale: Scale, ranks: Callable[[Collection], dict[str, int]]) -> dict[str, dict[str, int]]:
    """Return the rank of the relevant passage by question: among all passages, and among those of its peers."""
    world = world_of(scale)
    found = {pool: ranks(held_out(world, pool)) for pool in POOLS}
    return {"all": found[ALL], "peers": found["known"] | found["unknown"]}


def retriever_place(work: Path, arm: Arm, seed: int) -> Path:
    """Return the folder of the fine-tuned retriever of a cell."""
    return work / "retrievers" / arm.name(seed)


def _found(retriever: Retriever, cache: Path, collection: Collection) -> dict[str, int]:
    """Return the rank of the relevant passage by question."""
    remove_whole(cache)
    measure = f"RR@{len(collection.passages)}"
    values = searched(retriever, collection, (measure,), cache).values.sel(measure=measure)
    return {str(query): round(1 / value) for query, value in values.to_series().items()}


def training_data(scale: Scale, arm: Arm, seed: int) -> tuple[Collection, Pairs]:
    """Return the training questions of an arm and their pairs; none is about a person who is tested."""
    world = world_of(scale)
    collection = world.collection("train")
    check_held_out(training_pairs(collection), [held_out(world)])
    if arm.labels < 1:
        collection = with_labels(collection, round(arm.labels * len(collection.judged_queries)), seed)
    return collection, training_pairs(collection)


def _fine_tuned(scale: Scale, arm: Arm, seed: int, folder: Path, place: Path) -> Retriever:
    """Fine-tune as `retroscope train` does."""
    backbone = ModelSettings(source=str(folder), load=recipe_of(arm))
    said = TrainStudySettings(backbone=backbone, data=DataSettings(source="w"), training=training_of(scale, arm, seed))
    collection, pairs = training_data(scale, arm, seed)
    run_training(TrainJob(retriever_of(backbone), collection, pairs, None, said), place)
    return load_fine_tuned(arm, place)


def _looking_both_ways(scale: Scale, arm: Arm, seed: int, folder: Path, place: Path) -> Retriever:
    """Fine-tune a decoder whose causal mask is lifted; a trained folder cannot say so, so the recipe is given again."""
    causal = retriever_of(ModelSettings(source=str(folder), load=replace(recipe_of(arm), causal=None)))
    settings = training_of(scale, arm, seed)
    model = build_model(causal, Base(folder, str(folder)), settings)
    look_both_ways(model[0].model)
    train(model, training_data(scale, arm, seed)[1], settings, place / "checkpoints")
    with quiet():
        model[0].model.save_pretrained(place / "model")
        causal.passage.tokenizer.save_pretrained(place / "model")
    remove_whole(place / "checkpoints")
    return load_fine_tuned(arm, place)


def load_fine_tuned(arm: Arm, place: Path) -> Retriever:
    """Load what the fine-tuning of a cell wrote."""
    if not arm.both_ways:
        return load_retriever(place)
    return retriever_of(ModelSettings(source=str(place / "model"), load=recipe_of(arm)))


def _first_state(scale: Scale, arm: Arm, seed: int, folder: Path, work: Path) -> dict[str, Any]:
    """Measure a T5 by the first state of its decoder, before and after; the library loads encoders alone."""
    place, settings = retriever_place(work, arm, seed), training_of(scale, arm, seed)
    remove_whole(place)
    encoder = retriever_of(ModelSettings(source=str(folder), load=recipe_of(arm)))
    model = build_model(encoder, Base(folder, str(folder)), settings)
    with quiet():
        model[0].model = FirstDecoderState.from_pretrained(folder, use_safetensors=True, local_files_only=True)
    model[0].model.requires_grad_(False).eval()
    before = in_pools(scale, partial(_ranked, model))
    train(model, training_data(scale, arm, seed)[1], settings, place)
    remove_whole(place)
    after = in_pools(scale, partial(_ranked, model))
    size = sum(p.numel() for p in model[0].model.parameters())
    return {"parameters": size, "ranks": {"before": before, "after": after}}


def _ranked(model: SentenceTransformer, collection: Collection) -> dict[str, int]:
    """Return the rank of the relevant passage by question; each has one, and ties count against it."""
    passages, queries = list(collection.passages), collection.judged_queries
    texts = [collection.passage_text(one) for one in passages]
    vectors = model.encode_document(texts, normalize_embeddings=True)
    scores = model.encode_query([collection.queries[q].text for q in queries], normalize_embeddings=True) @ vectors.T
    relevant = [passages.index(next(iter(collection.qrels[query]))) for query in queries]
    no_worse = (scores >= scores[np.arange(len(queries)), relevant][:, None]).sum(axis=1)  # itself among them
    return {query: int(n) for query, n in zip(queries, no_worse, strict=True)}
