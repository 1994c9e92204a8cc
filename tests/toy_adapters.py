"""Adapters of toys, saved by PEFT as a user's would be."""

from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model

from retroscope.encoders.checkpoints.folders import quiet
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from toys import TOYS, save_toy, tokenizer


def loaded(folder: Path) -> dict[str, torch.Tensor]:
    """The parameters of a checkpoint as it is loaded, adapters merged."""
    encoder = load_encoder(folder, LoadSettings(pooling="mean"))
    return dict(encoder.backbone.named_parameters())


def adapter(name: str, folder: Path, targets: list[str], **options: object) -> Path:
    """An adapter with two ranks, whose factors are both random, saved by PEFT."""
    base = save_toy(name, folder / "base")
    encoder = load_encoder(base, LoadSettings(pooling="mean"))
    settings = LoraConfig(r=4, lora_alpha=12, target_modules=targets, rank_pattern={targets[0]: 2}, **options)
    with quiet(), torch.random.fork_rng():
        torch.manual_seed(0)
        wrapped = get_peft_model(encoder.backbone.requires_grad_(False), settings)
        for key, value in wrapped.named_parameters():
            if "lora_" in key:
                torch.nn.init.normal_(value, std=0.1)
        wrapped.save_pretrained(folder / "adapter")
    raw = (folder / "adapter" / "adapter_config.json").read_text()
    (folder / "adapter" / "adapter_config.json").write_text(
        raw.replace('"base_model_name_or_path": null', f'"base_model_name_or_path": "{base}"')
    )
    tokenizer(TOYS[name].style).save_pretrained(folder / "adapter")
    return folder / "adapter"
