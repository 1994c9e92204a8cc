"""How a backbone is pre-trained: one settings object."""

from dataclasses import dataclass

from retroscope.errors import SettingsError, unknown_name
from retroscope.training.settings import PRECISIONS

OBJECTIVES = {
    "mlm": "masked words (Devlin et al. 2019); spans for T5 (Raffel et al. 2020)",
    "clm": "the next word (decoders)",
    "retromae": "masked words, and the text again from its CLS vector alone (Xiao et al. 2022); BERT shapes",
    "crops": "two random crops of a text are near (Izacard et al. 2022, Contriever)",
}


@dataclass(frozen=True, kw_only=True)
class PretrainingSettings:
    """Settings of the pre-training of a backbone.

    Attributes:
        objective: "mlm", "clm", "retromae" or "crops".
        steps: optimiser steps.
        batch_size: texts of a batch.
        max_length: tokens of a text; a longer text is cut into several. No text is dropped, and none are joined.
        masked: share of the tokens that are masked (mlm, retromae's encoder).
        decoder_masked: share of the tokens that RetroMAE's decoder does not see.
        learning_rate: the highest rate of the schedule.
        warmup: share of the steps in which the rate rises; then it falls to 0.
        weight_decay: weight decay of AdamW.
        dropout: dropout of the new model.
        precision: number format of the forward pass, a name in `PRECISIONS`; the weights are float32.
        checkpoints: number of checkpoints that are written.
        seed: seed of new weights, order, masks and dropout.
    """

    objective: str = "mlm"
    steps: int = 10_000
    batch_size: int = 64
    max_length: int = 128
    masked: float = 0.3
    decoder_masked: float = 0.5
    learning_rate: float = 1e-3
    warmup: float = 0.05
    weight_decay: float = 0.01
    dropout: float = 0.0
    precision: str = "float32"
    checkpoints: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise unknown_name("objective", self.objective, OBJECTIVES)
        if self.precision not in PRECISIONS:
            raise unknown_name("precision", self.precision, PRECISIONS)
        for name in ("steps", "batch_size", "max_length", "learning_rate", "checkpoints"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} is {getattr(self, name)}", fix="give more than 0")
        for name in ("masked", "decoder_masked"):
            if not 0 < getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}", fix="give a share between 0 and 1")
