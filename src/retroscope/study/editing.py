"""Edit facts in a backbone, measure what that did, and write an ordinary checkpoint with a card."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from retroscope.collection.facts.loading import load_facts
from retroscope.collection.facts.records import Fact
from retroscope.documents import SCHEMA, clean, impersonal
from retroscope.encoders.anatomy import prove_anatomy
from retroscope.encoders.checkpoints.language_heads import (
    LanguageHead,
    NoLanguageHead,
    load_language_head,
    load_language_model,
)
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import EncoderError, SettingsError
from retroscope.inputs.load import read_lines
from retroscope.inputs.provenance import software
from retroscope.inputs.settings_files import plain
from retroscope.knowledge.editing.editors import EDIT, SITE, editable
from retroscope.knowledge.editing.effects import EditState, edit_state
from retroscope.knowledge.editing.prompts import prompt_of
from retroscope.knowledge.editing.settings import EditSettings
from retroscope.knowledge.neutral import neutral_places, without_facts
from retroscope.knowledge.settings import ReadoutSettings
from retroscope.training.folder import ABOUT, first_holds, save_backbone

Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True)
class EditStudySettings:
    """Which facts of which backbone are edited.

    Attributes:
        backbone: folder, hub name or GGUF file, with its language-model head.
        facts: that are edited, as `retention.facts`.
        add: whether the facts are added, or removed.
        keep: facts that must stay, on which locality is measured; None: none is measured.
        text: file of neutral text, a document a line; None: the passages of the facts that state none of them.
        edit: how.
    """

    backbone: str
    facts: str
    add: bool
    keep: str | None = None
    text: str | None = None
    edit: EditSettings = field(default_factory=EditSettings)


@dataclass(frozen=True, eq=False)
class EditJob:
    """An edit that is ready to start."""

    settings: EditStudySettings
    encoder: Encoder
    head: LanguageHead
    whole: PreTrainedModel
    facts: Sequence[Fact]
    keep: Sequence[Fact]

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Return the tokenizer of the backbone."""
        return self.encoder.tokenizer


def prepare_edit(settings: EditStudySettings) -> EditJob:
    """Read the facts and the backbone with its head.

    Raises:
        EncoderError: for a checkpoint without a language-model head.
        SettingsError: for facts that are both edited and kept.
    """
    facts = load_facts(settings.facts).facts
    keep = load_facts(settings.keep).facts if settings.keep else ()
    both = {fact.id for fact in facts} & {fact.id for fact in keep}
    if both:
        raise SettingsError(
            f"{len(both)} facts are edited and kept, e.g. {sorted(both)[0]!r}", fix="leave them out of one of the files"
        )
    load = LoadSettings(pooling="mean")
    head = _present(load_language_head(settings.backbone, load), settings.backbone)
    whole, _ = _present(load_language_model(settings.backbone, load), settings.backbone)
    return EditJob(settings, load_encoder(settings.backbone, load), head, whole, facts, keep)


def _present(loaded: Found | NoLanguageHead, backbone: str) -> Found:
    if isinstance(loaded, NoLanguageHead):
        fix = "give the backbone as it was pre-trained, with its language-model head"
        raise EncoderError(f"facts cannot be edited: {loaded.reason.value}", where=backbone, fix=fix)
    return loaded


def run_edit(job: EditJob, folder: Path) -> dict[str, Any]:
    """Edit, measure and write the checkpoint; return what the card and `training.json` say.

    Raises:
        SettingsError: if the folder is in use.
    """
    if folder.exists() and any(folder.iterdir()):
        raise SettingsError("this folder is in use", where=str(folder), fix="name another one")
    settings, kind = job.settings, job.head.kind
    every = [*job.facts, *job.keep]
    texts = (
        read_lines(Path(settings.text)) if settings.text else dict.fromkeys(p for fact in every for p in fact.passages)
    )
    lesson = ReadoutSettings(positions=settings.edit.tokens, seed=settings.edit.seed)
    inputs, targets, _ = neutral_places(job.tokenizer, kind, without_facts(texts, job.facts), lesson)
    prompts = [prompt_of(job.tokenizer, kind, fact) for fact in job.facts]
    before = edit_state(job.encoder, job.head, every, job.facts, (inputs, targets))
    model = editable(job.encoder, job.head, inputs, settings.edit)
    EDIT[settings.edit.editor](model, prompts, settings.edit, add=settings.add)
    after = edit_state(job.encoder, job.head, every, job.facts, (inputs, targets))
    _write_into(job, model.layer)
    document = _document(job, model.layer, before, after)
    with first_holds(folder):
        save_backbone(job.whole, job.tokenizer, folder, document, _card(job, before, after))
    return document


def _write_into(job: EditJob, layer: int) -> None:
    """Copy the edited matrix into the whole model, which is saved."""
    path = job.encoder.anatomy.path(SITE, layer - 1)
    weight = job.encoder.backbone.get_submodule(path).get_parameter("weight")
    job.whole.base_model.get_submodule(path).get_parameter("weight").data.copy_(weight.data)
    prove_anatomy(job.whole.base_model)


def _document(job: EditJob, layer: int, before: EditState, after: EditState) -> dict[str, Any]:
    about: Mapping[str, Any] = {
        "schema": SCHEMA,
        "backbone": job.settings.backbone,
        "facts": [fact.id for fact in job.facts],
        "layer": layer,
        "before": asdict(before),
        "after": asdict(after),
        "settings": plain(job.settings),
        "versions": software(),
    }
    return dict(impersonal(clean(about)))


def effect_table(before: EditState, after: EditState) -> str:
    """Return the effect of an edit as a Markdown table."""
    rows = {
        "reliability (P@1 of the edited facts)": "reliability",
        "generality (P@1 of their other wordings)": "generality",
        "locality (P@1 of the facts that stay)": "locality",
        "log p a token of the edited objects": "log_p",
        "loss on neutral text, nats a token": "loss",
    }
    lines = [f"| {name} | {getattr(before, key):.3f} | {getattr(after, key):.3f} |" for name, key in rows.items()]
    return "\n".join(["| | before | after |", "|---|---|---|", *lines])


def _card(job: EditJob, before: EditState, after: EditState) -> str:
    verb = "added to" if job.settings.add else "removed from"
    return (
        f"---\nlibrary_name: transformers\n---\n\n# An edited backbone\n\n"
        f"{len(job.facts)} facts were {verb} `{Path(job.settings.backbone).name}` by `retroscope edit`, editor "
        f"`{job.settings.edit.editor}`; all settings are in `{ABOUT}`.\n\n{effect_table(before, after)}\n"
    )
