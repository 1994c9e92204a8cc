"""Edit facts in a backbone, measure the effects, and write a checkpoint with a model card."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import exp
from pathlib import Path
from typing import Any, TypeVar

from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedModel

from retroscope.collection.facts.loading import load_facts
from retroscope.collection.facts.records import Fact
from retroscope.encoders.architecture.anatomy import prove_anatomy
from retroscope.encoders.checkpoints.language_heads import (
    LanguageHead,
    NoLanguageHead,
    load_language_head,
    load_language_model,
)
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import EncoderError, SettingsError, excerpt
from retroscope.files.documents import SCHEMA, clean, fingerprint, impersonal
from retroscope.inputs.load import read_lines
from retroscope.inputs.provenance import made_by, software
from retroscope.inputs.settings_files import plain
from retroscope.knowledge.askable import AskableFacts, askable_facts
from retroscope.knowledge.editing.editors import EDIT
from retroscope.knowledge.editing.effects import LOSS, Effect, effects, read_facts
from retroscope.knowledge.editing.model import SITE, editable, edited_layer
from retroscope.knowledge.editing.neurons import silent_neurons
from retroscope.knowledge.editing.prompts import Request, contexts_of, requests_of
from retroscope.knowledge.neutral import MASKED_SHARE, neutral_places, without_facts
from retroscope.knowledge.settings import ReadoutSettings
from retroscope.knowledge.states import ReadInput
from retroscope.number_format import count
from retroscope.study.training.settings import EditStudySettings
from retroscope.training.folder import ABOUT, claim, finished_training, first_holds, save_backbone

Loaded = TypeVar("Loaded")
HELD_OUT = 1000  # tokens of neutral text that the loss is measured on
LABELS = {
    "reliability": "edited facts: P@1",
    "generality": "edited facts in other wordings: P@1",
    "log p a token": "edited facts: log p per token",
    "locality": "kept facts: P@1",
    "same answer": "kept facts: share with the same first answer",
    "loss": "neutral text: cross entropy per token",
}


@dataclass(frozen=True, eq=False)
class EditJob:
    """A model edit that is ready to run: the model, the facts to add or remove, and the texts to measure on.

    Attributes:
        whole: the complete model, which is saved after the edit.
        keep: facts on which locality is measured. They are not edited.
        not_measured: how many facts are to be kept but cannot measure locality, because their object is unknown to the
            tokenizer or has no competitor.
        seen: neutral text from which the covariance of the keys (inputs of the edited matrix) is estimated.
        held_out: neutral text on which the loss is measured, and the true token at each predicted position.
    """

    settings: EditStudySettings
    encoder: Encoder
    head: LanguageHead
    whole: PreTrainedModel
    facts: Sequence[Fact]
    keep: Sequence[Fact]
    not_measured: int
    requests: Sequence[Request]
    seen: Sequence[ReadInput]
    held_out: tuple[Sequence[ReadInput], Int[Tensor, "row"]]

    @property
    def key(self) -> str:
        """Return the SHA-256 of everything that determines the edited weights and their measurements."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.whole.state_dict().items()):
            digest.update(name.encode() + tensor.detach().float().cpu().numpy().tobytes())
        read = [repr(part) for part in (self.facts, self.keep, self.requests, self.seen, self.held_out[0])]
        return fingerprint([digest.hexdigest(), *read, plain(self.settings.edit), self.settings.add, made_by()])


def prepare_edit(settings: EditStudySettings) -> EditJob:
    """Load the facts, the text, and the backbone with its language-model head.

    Raises:
        EncoderError: for a checkpoint that has no language-model head, or is a GGUF file.
        SettingsError: if a fact is both edited and kept, if no other object competes with the object of a fact, if no
            text is neutral (states none of the facts), or if the layer cannot be edited.
        AnalysisError: if the tokenizer or the model cannot process a fact.
    """
    facts = load_facts(settings.facts).facts
    keep = load_facts(settings.keep).facts if settings.keep else ()
    _refuse(settings, facts, keep)
    load = LoadSettings(pooling="mean")
    whole, place = _present(load_language_model(settings.backbone, load), settings.backbone)
    if place.is_file():
        raise EncoderError(
            "a GGUF file cannot be edited, because its weights are quantised",
            where=str(place),
            fix="convert the file to a transformers folder first",
        )
    head = _present(load_language_head(settings.backbone, load), settings.backbone)
    encoder = load_encoder(settings.backbone, load)
    edited_layer(encoder, settings.edit)
    askable = askable_facts(encoder.tokenizer, [*facts, *keep])
    _refuse_alone(facts, askable)
    unknown, alone = {*askable.unknown}, {*askable.alone}
    known_keep = tuple(fact for fact in keep if fact not in unknown)
    not_measured = sum(fact in unknown or fact in alone for fact in keep)
    texts = _neutral_texts(settings, [*facts, *keep], facts)
    requests = requests_of(encoder.tokenizer, head.kind, facts, contexts_of(texts, facts, settings.edit.contexts))
    places = max(100, round(settings.edit.tokens * (MASKED_SHARE if head.kind == "masked" else 1)))
    lesson = ReadoutSettings(positions=places, held_out=HELD_OUT, seed=settings.edit.seed)
    inputs, targets, held_out = neutral_places(encoder.tokenizer, head.kind, texts, lesson)
    n = len(inputs)
    while held_out > 0:
        n -= 1
        held_out -= len(inputs[n].at)
    rest = targets[sum(len(text.at) for text in inputs[:n]) :]
    return EditJob(
        settings, encoder, head, whole, facts, known_keep, not_measured, requests, inputs[:n], (inputs[n:], rest)
    )


def _refuse(settings: EditStudySettings, facts: Sequence[Fact], keep: Sequence[Fact]) -> None:
    both = {fact.id for fact in facts} & {fact.id for fact in keep}
    if both:
        raise SettingsError(
            f"{count(len(both), 'fact')} to be edited ({settings.facts}) must also be kept ({settings.keep}), "
            f"e.g. {sorted(both)[0]!r}",
            fix="remove these facts from one of the two files (--facts or --keep)",
        )
    stated: dict[tuple[str, str], str] = {}
    for fact in facts:
        first = stated.setdefault((fact.relation, fact.subject), fact.object)
        if settings.add and first != fact.object:
            raise SettingsError(
                f"two objects are to be added for the relation {excerpt(fact.relation)} of {excerpt(fact.subject)}: "
                f"{excerpt(first)} and {excerpt(fact.object)}",
                where=settings.facts,
                fix="keep one of these two facts in the file",
            )


def _refuse_alone(facts: Sequence[Fact], askable: AskableFacts) -> None:
    """Refuse to edit a fact whose object always ranks first, because no other object competes with it."""
    alone = [fact for fact in facts if fact in askable.alone]
    if alone:
        raise SettingsError(
            f"the object {excerpt(alone[0].object)} of the fact {excerpt(alone[0].id)} always ranks first, because "
            f"all objects of the relation {excerpt(alone[0].relation)} are right answers",
            fix="name facts to keep (--keep FILE) that have this relation and other objects",
        )


def _neutral_texts(settings: EditStudySettings, known: Sequence[Fact], facts: Sequence[Fact]) -> list[str]:
    passages = [text for fact in known for text in fact.passages]
    candidates = read_lines(Path(settings.text)) if settings.text else passages
    texts = without_facts(dict.fromkeys(candidates), facts)
    if not texts:
        raise SettingsError(
            f"there is no neutral text: all {len(candidates)} texts contain the subject and object of an edited fact",
            fix="give text that states none of the facts: --text FILE",
        )
    return texts


def _present(loaded: Loaded | NoLanguageHead, backbone: str) -> Loaded:
    if isinstance(loaded, NoLanguageHead):
        raise EncoderError(
            f"the facts of this model cannot be edited: {loaded.reason.value}",
            where=backbone,
            fix="give the backbone as it was pre-trained, with its language-model head",
        )
    return loaded


def run_edit(job: EditJob, folder: Path) -> dict[str, Any]:
    """Edit the model, measure the effects and write the checkpoint, and return the content of `training.json`.

    Raises:
        TrainingError: if the folder holds another training or other files.
        SettingsError: if another run is writing to the folder.
    """
    key = job.key
    with first_holds(folder):
        finished = finished_training(folder, key)
        if finished is not None:
            return finished
        claim(folder, key)
        result = edit(job)
        _write_into(job)
        document = _document(job, key, result)
        save_backbone(job.whole, job.encoder.tokenizer, folder, document, _card(job, result))
    return document


@dataclass(frozen=True)
class EditResult:
    """What an edit changed in the model, and its effects on facts and neutral text.

    Attributes:
        layer: the edited layer, or None if all layers were edited.
        silenced: for an editor of all layers, how many neurons of every layer were set to zero. Otherwise None.
        effects: name of an effect, e.g. "reliability" -> its values before and after the edit.
    """

    layer: int | None
    silenced: tuple[int, ...] | None
    effects: Mapping[str, Effect]


def edit(job: EditJob) -> EditResult:
    """Edit the model in memory, and measure the effects."""
    before = read_facts(job.encoder, job.head, job.facts, job.keep, job.held_out)
    settings = job.settings.edit
    model = editable(job.encoder, job.head, job.seen, settings)
    silent = silent_neurons(job.encoder)
    EDIT[settings.editor](model, job.requests, settings, add=job.settings.add)
    after = read_facts(job.encoder, job.head, job.facts, job.keep, job.held_out)
    measured = effects(before, after)
    if not settings.edits_all_layers:
        return EditResult(model.layer, None, measured)
    silenced = (now - then for then, now in zip(silent, silent_neurons(job.encoder), strict=True))
    return EditResult(None, tuple(silenced), measured)


def _write_into(job: EditJob) -> None:
    """Copy the edited FFN output matrices into the complete model that will be saved."""
    for block in range(job.encoder.anatomy.n_blocks):
        path = job.encoder.anatomy.path(SITE, block)
        weight = job.encoder.backbone.get_submodule(path).get_parameter("weight")
        job.whole.base_model.get_submodule(path).get_parameter("weight").data.copy_(weight.data)
    prove_anatomy(job.whole.base_model)


def _document(job: EditJob, key: str, result: EditResult) -> dict[str, Any]:
    about: Mapping[str, Any] = {
        "schema": SCHEMA,
        "key": key,
        "backbone": job.settings.backbone,
        "facts": [fact.id for fact in job.facts],
        "keep_not_measured": job.not_measured,
        "layer": result.layer,
        "silenced": result.silenced,
        "effects": {name: asdict(effect) for name, effect in result.effects.items()},
        "settings": plain(job.settings),
        "versions": software(),
    }
    return dict(impersonal(clean(about)))


def effect_table(measured: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the effects of an edit as a Markdown table, with the perplexity of neutral text."""
    lines = ["| | before | after | difference | n |", "|---|---|---|---|---|"]
    for name, effect in measured.items():
        before, after = effect["before"], effect["after"]
        bounds = "" if effect["low"] is None else f" [{effect['low']:+.3f}, {effect['high']:+.3f}]"
        change = f"{effect['difference']:+.3f}{bounds}"
        lines.append(f"| {LABELS[name]} | {before:.3f} | {after:.3f} | {change} | {effect['n']} |")
        if name == LOSS:
            lines.append(f"| neutral text: perplexity | {exp(before):.2f} | {exp(after):.2f} | | |")
    return "\n".join(lines)


def _card(job: EditJob, result: EditResult) -> str:
    verb = "added to" if job.settings.add else "removed from"
    table = effect_table({name: asdict(effect) for name, effect in result.effects.items()})
    return (
        f"---\nlibrary_name: transformers\n---\n\n# An edited backbone\n\n"
        f"{len(job.facts)} facts were {verb} `{Path(job.settings.backbone).name}` by `retroscope edit`, editor "
        f"`{job.settings.edit.editor}`; all settings are in `{ABOUT}`.{_silenced(result)} P@1 ranks an object "
        f"among the objects of its relation; intervals are 95 %, over subjects or texts.{_not_measured(job)}\n\n"
        f"{table}\n"
    )


def _silenced(result: EditResult) -> str:
    if result.silenced is None:
        return ""
    layers = ", ".join(f"layer {layer}: {n}" for layer, n in enumerate(result.silenced, start=1) if n)
    return f" Neurons set to zero: {sum(result.silenced):,}{f' ({layers})' if layers else ''}."


def _not_measured(job: EditJob) -> str:
    if not job.not_measured:
        return ""
    return (
        f" Locality leaves out {count(job.not_measured, 'kept fact')} whose object is unknown to the tokenizer or has "
        "no competitor among the objects of its relation."
    )
