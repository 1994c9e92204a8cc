"""Published neuron counts of query texts: how many of ours differ, wrapped as before and as now.

    python benchmarks/audit/published_queries.py --golden ../shared/golden --data beir:../shared/data/nq-open-gold

The ruler is the published loop, written anew (`benchmarks/published_neurons.py`), for its target `question`: EOS texts
are wrapped as `query: TEXT</s>`. Before, ours were wrapped as `passage: TEXT</s>` on either tower.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from published_neurons import published_attribution
from retroscope.attribution.attribute import attribute_neurons, plan_attribution
from retroscope.attribution.examples import text_examples
from retroscope.attribution.published import published_encoder
from retroscope.attribution.settings import AttributionSettings
from retroscope.collection.loading import load_collection
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings

POOLING = {"CLS": "cls", "mean": "mean", "eos": "last_token"}
BATCH, THRESHOLDS = 4, (0.01, 0.1)
Counts = dict[tuple[float, str], np.ndarray]


def published(folder: Path, texts: Sequence[str], encoder_type: str) -> Counts:
    """The counts of the published code for its target `question`."""
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    eos = encoder_type == "eos"
    if eos:
        tokenizer.pad_token, tokenizer.padding_side = tokenizer.eos_token, "left"
    matrices = {}
    for k, layer in enumerate(model.layers if eos else model.encoder.layer):
        matrices[f"layer_{k}_intermediate"] = layer.mlp.gate_proj if eos else layer.intermediate.dense
        matrices[f"layer_{k}_output"] = layer.mlp.down_proj if eos else layer.output.dense
    counts = {(t, name): np.zeros(len(m.weight), int) for t in THRESHOLDS for name, m in matrices.items()}
    for start in range(0, len(texts), BATCH):
        some = [f"query: {text}</s>" if eos else text for text in texts[start : start + BATCH]]
        batch = tokenizer(some, padding=True, truncation=True, max_length=256, return_tensors="pt")
        for row in range(len(some)):
            embed = partial(_embedding, model, batch, encoder_type, row)
            values = {name: _attributed(matrix, embed) for name, matrix in matrices.items()}
            largest = max(v.max() for v in values.values())
            for threshold, name in counts:
                counts[threshold, name] += values[name] / largest >= threshold
    return counts


def _attributed(matrix: nn.Linear, embed: partial[Tensor]) -> np.ndarray:
    return published_attribution(matrix, embed, np.linspace(1e-6, 1, 20)).numpy()


def _embedding(model: nn.Module, batch: dict[str, Tensor], encoder_type: str, row: int) -> Tensor:
    output = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    if encoder_type == "CLS":
        return output.pooler_output[row]
    return output.last_hidden_state[row].mean(0) if encoder_type == "mean" else output.last_hidden_state[row, -1]


def ours(folder: Path, texts: Sequence[str], encoder_type: str, tower: str) -> Counts:
    """Our counts, wrapped as those of a tower."""
    load = LoadSettings(pooling=POOLING[encoder_type], protocol="ielab-2025")
    encoder = published_encoder(load_encoder(folder, load, tower="query"), tower)
    settings = AttributionSettings(
        target="norm", tower="query", quadrature="ielab-20", batch_size=BATCH, thresholds=THRESHOLDS, limit=0
    )
    units = text_examples([str(i) for i in range(len(texts))], texts)
    attribution = attribute_neurons(plan_attribution(encoder, units, settings, padding_pooled=True))
    return {
        (threshold, f"layer_{layer - 1}_{part}"): table["count"].sel(threshold=threshold, layer=layer).values
        for part, table in attribution.neurons.items()
        for layer in table["layer"].values.tolist()
        for threshold in THRESHOLDS
    }


def differing(one: Counts, other: Counts) -> str:
    """Counts that differ, of how many."""
    total = sum(len(values) for values in one.values())
    return f"{sum(int((values != other[key]).sum()) for key, values in one.items())} of {total}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--golden", type=Path, required=True, help="Folder with CASE/model and CASE/neurons.json.")
    parser.add_argument("--data", required=True, help="Collection whose first queries are attributed.")
    parser.add_argument("--texts", type=int, default=12)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    texts = [q.text for q in load_collection(chosen.data).queries.values()]
    texts = list(dict.fromkeys(texts))[: chosen.texts]
    print("counts of query texts that differ from the published loop's | before | after")
    for case in sorted(chosen.golden.iterdir()):
        kind = json.loads((case / "neurons.json").read_text("utf-8"))["encoder_type"]
        ruler = published(case / "model", texts, kind)
        before, after = (differing(ruler, ours(case / "model", texts, kind, t)) for t in ("passage", "query"))
        print(f"{case.name}, {len(texts)} queries | {before} | {after}")


if __name__ == "__main__":
    main()
