"""Pre-training objectives: the model that computes the loss, and the collator that makes its batches."""

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
from retroscope.encoders.checks.weights import open_disk
from retroscope.errors import TrainingError, listed
from retroscope.files.reading import foreign
from retroscope.training.pretraining.collate import IGNORED, Collate, Masking, NextWord, Spans, TwoMasks
from retroscope.training.pretraining.settings import PretrainingSettings


class RetroMae(BertForMaskedLM):  # type: ignore[misc]
    """BERT with RetroMAE's decoder: one block that sees the CLS vector and a heavily masked text.

    Xiao et al. 2022 (arXiv 2205.12035), basic decoding. `decoder` is discarded after pre-training.
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
        given = torch.cat([states[:, :1], embedded[:, 1:]], dim=1)
        mask = create_bidirectional_mask(config=self.config, inputs_embeds=given, attention_mask=attention_mask)
        again = self.decoder(given, mask)
        return MaskedLMOutput(loss=self._loss(states, labels) + self._loss(again, decoder_labels))

    def _loss(self, states: Tensor, labels: Tensor) -> Tensor:
        """Return the cross entropy of the masked words, or 0 if there are none."""
        hidden = labels != IGNORED
        total: Tensor = cross_entropy(self.cls(states[hidden]), labels[hidden], reduction="sum")
        return total / hidden.sum().clamp(min=1)


def without_decoder(model: PreTrainedModel) -> PreTrainedModel:
    """Return the BERT without RetroMAE's decoder, with its language-model head."""
    plain = BertForMaskedLM(model.config)
    kept = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("decoder.")}
    plain.load_state_dict(kept)
    return plain.to(model.device)


@dataclass(frozen=True)
class PretrainingObjective:
    """One pre-training objective of a model family: the model, its batches, and what is saved.

    Attributes:
        start: function from a configuration to a model with random weights.
        onwards: class that loads a checkpoint.
        collate: function from tokenizer and settings to the collator of batches.
        finish: function from the trained model to the model that is saved.
    """

    start: Callable[[PretrainedConfig], PreTrainedModel]
    onwards: Any
    collate: Callable[[PreTrainedTokenizerBase, PretrainingSettings], Collate]
    finish: Callable[[PreTrainedModel], PreTrainedModel] = lambda model: model


def go_on(objective: PretrainingObjective, folder: Path) -> tuple[PreTrainedModel, list[str]]:
    """Load a checkpoint's model in float32, and list the weights that it lacks.

    If the checkpoint was saved without a head, the head is initialised.

    Raises:
        TrainingError: if it lacks weights of the backbone itself.
    """
    disk = open_disk(folder)
    check_sizes(skeleton(folder, disk), disk)
    with foreign(TrainingError, "this checkpoint cannot be trained further", folder):
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
    lambda tokenizer, chosen: Masking(tokenizer, chosen.masked),
)
SPANS = PretrainingObjective(
    T5ForConditionalGeneration,
    T5ForConditionalGeneration,
    lambda tokenizer, chosen: Spans(tokenizer, chosen.masked),
)
CAUSAL = PretrainingObjective(
    AutoModelForCausalLM.from_config,
    AutoModelForCausalLM,
    lambda tokenizer, chosen: NextWord(tokenizer),
)
RETROMAE = PretrainingObjective(
    RetroMae,
    RetroMae,
    lambda tokenizer, chosen: TwoMasks(tokenizer, chosen.masked, chosen.decoder_masked),
    finish=without_decoder,
)
# (objective, family) -> how; `crops` is contrastive and trains like a retriever.
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
    """Return the functions that pre-train a family with an objective.

    Raises:
        TrainingError: if the family cannot be trained with this objective.
    """
    known = LANGUAGE.get((name, family))
    if known is None:
        fitting = sorted({family for objective, family in LANGUAGE if objective == name})
        raise TrainingError(
            f"the objective {name!r} does not train a {family!r} model",
            fix=f"give a model of the family {' or '.join(fitting)}, or use another objective",
        )
    return known
