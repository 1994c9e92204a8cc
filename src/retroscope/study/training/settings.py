"""Settings of `retroscope train`, `pretrain` and `edit`, checked before torch is imported."""

from dataclasses import dataclass, field

from retroscope.errors import SettingsError
from retroscope.files.reading import path_of
from retroscope.inputs.settings import DataSettings, ModelSettings
from retroscope.knowledge.editing.settings import EditSettings
from retroscope.surgery.parts import check_parts
from retroscope.training.pretraining.settings import PretrainingSettings
from retroscope.training.pretraining.shapes import shape_of
from retroscope.training.pretraining.vocabulary import parse_kind
from retroscope.training.settings import TrainingSettings


@dataclass(frozen=True, kw_only=True)
class TrainStudySettings:
    """Settings of `retroscope train`: backbone, data, and the training itself.

    Attributes:
        backbone: the checkpoint from which the training starts.
        data: the training pairs: judged queries and their relevant passages.
        dev: held-out queries that select the checkpoint to keep.
        test: held-out queries that must not occur among the training pairs.
        reinitialise: parts of the backbone that are re-initialised before the training, with its seed: "all", "top:K"
            (the last K blocks), "bottom:K" (the first K blocks), "embeddings", "attention", "ffn", "norms".
        training: how the retriever is trained on the pairs.
    """

    backbone: ModelSettings | None = None
    data: DataSettings | None = None
    dev: DataSettings | None = None
    test: tuple[DataSettings, ...] = ()
    reinitialise: tuple[str, ...] = ()
    training: TrainingSettings = field(default_factory=TrainingSettings)

    def __post_init__(self) -> None:
        check_parts(self.reinitialise)


@dataclass(frozen=True, kw_only=True)
class PretrainStudySettings:
    """Settings of `retroscope pretrain`: text, model, and the training itself.

    Attributes:
        text: text files in UTF-8, one document per line.
        data: a collection whose passages are added to the documents.
        shape: shape of a model with random weights to start from, e.g. "bert-tiny" or "bert-3x128". Give either `shape`
            or `start`.
        start: checkpoint to start from.
        tokenizer: "words", "wordpiece:N" or "bpe:N" for a tokenizer that is trained on the text, or a folder with a
            tokenizer. If None, the tokenizer of the checkpoint.
        device: device to run on, e.g. "cpu", "cuda".
        pretraining: how the backbone is trained on the text.
    """

    text: tuple[str, ...] = ()
    data: DataSettings | None = None
    shape: str | None = None
    start: str | None = None
    tokenizer: str | None = None
    device: str = "cpu"
    pretraining: PretrainingSettings = field(default_factory=PretrainingSettings)

    def __post_init__(self) -> None:
        if (self.shape is None) == (self.start is None):
            raise SettingsError(
                "both a shape and a checkpoint to start from are given"
                if self.shape is not None
                else "neither a shape nor a checkpoint to start from is given",
                fix="give a shape, e.g. --shape bert-tiny, or a checkpoint: --from NAME",
            )
        if self.shape is not None:
            shape_of(self.shape)
        if self.shape is not None and self.tokenizer is None:
            raise SettingsError(
                f"a new backbone of the shape {self.shape!r} needs a tokenizer",
                fix="give a tokenizer to train, e.g. --tokenizer wordpiece:8000, or a folder with a tokenizer",
            )
        if (
            self.shape is not None
            and self.tokenizer is not None
            and not path_of(self.tokenizer, SettingsError).is_dir()
        ):
            parse_kind(self.tokenizer)
        if not self.text and self.data is None:
            raise SettingsError("no text was given to pre-train on", fix="give --text FILE, or --data SPEC")


@dataclass(frozen=True, kw_only=True)
class EditStudySettings:
    """Settings of `retroscope edit`: backbone, facts, and the edit itself.

    Attributes:
        backbone: folder or hub name of a backbone with its language-model head.
        facts: the facts to edit: a file or `LAYOUT:PATH`, as for `retention.facts`.
        add: true adds the facts, false removes them.
        keep: file of facts that must stay. Locality is measured on them, and their objects are also candidates for an
            answer.
        text: file of neutral text, one document per line. If None, the passages of the facts are used. Texts that
            contain subject and object of an edited fact are left out.
        edit: how the facts are edited.
    """

    backbone: str
    facts: str
    add: bool
    keep: str | None = None
    text: str | None = None
    edit: EditSettings = field(default_factory=EditSettings)

    def __post_init__(self) -> None:
        if self.add and self.edit.edits_all_layers:
            raise SettingsError(
                f"the editor {self.edit.editor!r} can only remove facts",
                where="edit.editor",
                fix="remove the facts (--remove), or choose another editor (--editor)",
            )
