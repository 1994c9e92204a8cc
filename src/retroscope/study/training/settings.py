"""Settings of a fine-tuning, a pre-training and an edit, checked before torch is imported."""

from dataclasses import dataclass, field

from retroscope.errors import SettingsError
from retroscope.files.reading import path_of
from retroscope.inputs.settings import DataSettings, ModelSettings
from retroscope.knowledge.editing.settings import EditSettings
from retroscope.surgery.parts import check_parts
from retroscope.training.pretraining_settings import PretrainingSettings
from retroscope.training.settings import TrainingSettings
from retroscope.training.shapes import shape_of
from retroscope.training.vocabulary import parse_kind


@dataclass(frozen=True, kw_only=True)
class TrainStudySettings:
    """Settings of `retroscope train`: backbone, data, and the training itself.

    Attributes:
        backbone: the checkpoint to begin with.
        data: the pairs: judged queries and their passages.
        dev: held-out queries that choose the checkpoint to keep.
        test: held-out queries that must not be among the pairs.
        reinitialise: parts of the backbone that are re-initialised before, with the training's seed: "all", "top:K",
            "bottom:K", "embeddings", "attention", "ffn", "norms".
        training: how the pairs train it.
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
        text: files with a document a line, UTF-8.
        data: a collection whose passages are documents, too.
        shape: shape of a model with random weights, e.g. "bert-tiny" or "bert-3x128"; or give `start`.
        start: checkpoint to continue from.
        tokenizer: "words", "wordpiece:N" or "bpe:N", trained on the text; or a folder; None: the checkpoint's.
        device: device to run on, e.g. "cpu", "cuda".
        pretraining: how the text trains it.
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
            raise SettingsError("give either a shape or a checkpoint to start from", fix="--shape bert-tiny, or --from")
        if self.shape is not None:
            shape_of(self.shape)
        if self.shape is not None and self.tokenizer is None:
            raise SettingsError("a new backbone needs a tokenizer", fix="--tokenizer wordpiece:8000, or a folder")
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
        facts: that are edited, as `retention.facts`.
        add: whether the facts are added, or removed.
        keep: facts that must stay: locality is measured on them, and their objects are candidates, too.
        text: file of neutral text, a document a line; None: the passages of the facts. Texts with subject and object
            of an edited fact are left out.
        edit: how.
    """

    backbone: str
    facts: str
    add: bool
    keep: str | None = None
    text: str | None = None
    edit: EditSettings = field(default_factory=EditSettings)
