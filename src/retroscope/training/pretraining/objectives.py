"""Pre-training objectives: for each, the model that computes the loss and the collator that makes the batches."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    BertForMaskedLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    T5ForConditionalGeneration,
)
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_outputs import MaskedLMOutput
from transformers.models.bert.modeling_bert import BertLayer

from retroscope.encoders.checkpoints.sizes import check_sizes
from retroscope.encoders.checkpoints.tensors import skeleton
from retroscope.encoders.checks.disk import open_disk
from retroscope.errors import TrainingError, listed
from retroscope.files.reading import foreign
from retroscope.training.pretraining.collate import IGNORED, Collate, Masking, NextWord, Spans, TwoMasks
from retroscope.training.pretraining.settings import PretrainingSettings


class RetroMae(BertForMaskedLM):  # type: ignore[misc]
    """BERT with the decoder of RetroMAE: one block whose input is the CLS vector and a heavily masked text.

    This is the basic decoding of Xiao et al. 2022 (arXiv 2205.12035). The decoder is discarded after pre-training.
    """

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__(config)
        self.decoder = BertLayer(config)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        labels: Tensor,
        decoder_input_ids: Tensor,
        decoder_labels: Tensor,
        **rest: Any,
    ) -> MaskedLMOutput:
        """Return the sum of the encoder's and the decoder's masked language modelling losses."""
        states = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        embedded = self.bert.embeddings(input_ids=decoder_input_ids)
        inputs = torch.cat([states[:, :1], embedded[:, 1:]], dim=1)
        mask = create_bidirectional_mask(config=self.config, inputs_embeds=inputs, attention_mask=attention_mask)
        decoded = self.decoder(inputs, mask)
        return MaskedLMOutput(loss=self._loss(states, labels) + self._loss(decoded, decoder_labels))

    def _loss(self, states: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross entropy of the tokens with a label, or 0 if there are none."""
        hidden = labels != IGNORED
        total: Tensor = cross_entropy(self.cls(states[hidden]), labels[hidden], reduction="sum")
        return total / hidden.sum().clamp(min=1)


def without_decoder(model: PreTrainedModel) -> PreTrainedModel:
    """Return a trained `RetroMae` model as an ordinary BERT with its language-model head, without the decoder."""
    plain = BertForMaskedLM(model.config)
    weights = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("decoder.")}
    plain.load_state_dict(weights)
    return plain.to(model.device)


@dataclass(frozen=True)
class PretrainingObjective:
    """How a model family is pre-trained with one objective: model class, batches, and what is saved.

    Attributes:
        start: function that makes a model with random weights from a configuration.
        onwards: class that loads a checkpoint to continue its pre-training.
        collate: function that makes the collator of batches from tokenizer and settings.
        finish: function that converts the trained model to the model that is saved.
    """

    start: Callable[[PretrainedConfig], PreTrainedModel]
    onwards: Any
    collate: Callable[[PreTrainedTokenizerBase, PretrainingSettings], Collate]
    finish: Callable[[PreTrainedModel], PreTrainedModel] = lambda model: model


def go_on(objective: PretrainingObjective, folder: Path) -> tuple[PreTrainedModel, list[str]]:
    """Load a checkpoint in float32 to continue its pre-training, and list the weights that are newly initialised.

    The language-model head is initialised if the checkpoint was saved without one.

    Raises:
        TrainingError: if the checkpoint lacks weights of the backbone itself.
    """
    disk = open_disk(folder)
    check_sizes(skeleton(folder, disk), disk)
    with foreign(TrainingError, "this checkpoint cannot be loaded to continue its pre-training", folder):
        model, info = objective.onwards.from_pretrained(
            folder, output_loading_info=True, use_safetensors=True, local_files_only=True, dtype=torch.float32
        )
    new = sorted(info["missing_keys"])
    own = model.base_model_prefix
    lost = [name for name in new if name.startswith(f"{own}.") and ".pooler." not in name]
    if lost:
        raise TrainingError(
            f"the checkpoint lacks these weights of the backbone:{listed(lost)}",
            where=str(folder),
            fix="give a checkpoint that holds all weights of its backbone",
        )
    return model, new


MASKED = PretrainingObjective(
    AutoModelForMaskedLM.from_config,
    AutoModelForMaskedLM,
    lambda tokenizer, settings: Masking(tokenizer, settings.masked),
)
SPANS = PretrainingObjective(
    T5ForConditionalGeneration,
    T5ForConditionalGeneration,
    lambda tokenizer, settings: Spans(tokenizer, settings.masked),
)
CAUSAL = PretrainingObjective(
    AutoModelForCausalLM.from_config,
    AutoModelForCausalLM,
    lambda tokenizer, settings: NextWord(tokenizer),
)
RETROMAE = PretrainingObjective(
    RetroMae,
    RetroMae,
    lambda tokenizer, settings: TwoMasks(tokenizer, settings.masked, settings.decoder_masked),
    finish=without_decoder,
)
# (objective, family) -> how it is trained; `crops` is contrastive and trains like a retriever.
LANGUAGE: Mapping[tuple[str, str], PretrainingObjective] = {
    ("mlm", "bert"): MASKED,
    ("mlm", "roberta"): MASKED,
    ("mlm", "distilbert"): MASKED,
    ("mlm", "modernbert"): MASKED,
    ("mlm", "t5"): SPANS,
    ("clm", "llama"): CAUSAL,
    ("clm", "mistral"): CAUSAL,
    ("clm", "qwen2"): CAUSAL,
    ("clm", "qwen3"): CAUSAL,
    ("retromae", "bert"): RETROMAE,
}


def objective_of(name: str, family: str) -> PretrainingObjective:
    """Return how a model family (such as "bert") is pre-trained with the objective `name` (such as "mlm").

    Raises:
        TrainingError: if the family cannot be trained with this objective.
    """
    pretraining = LANGUAGE.get((name, family))
    if pretraining is None:
        fitting = sorted({family for objective, family in LANGUAGE if objective == name})
        raise TrainingError(
            f"a model of the family {family!r} cannot be trained with the objective {name!r}",
            fix=f"give a model of the family {' or '.join(fitting)}, or use another objective",
        )
    return pretraining
