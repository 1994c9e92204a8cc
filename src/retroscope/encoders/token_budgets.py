"""Token budgets: how many padded tokens a forward pass may have, by device and kind of pass."""

import torch

DEFAULT_BUDGET = 1024  # of functions that are given tokenised texts and no budget

# Encoding. On a processor small batches win: their activations stay in the cache and less of them is padding
# (MiniLM on real passages: 512 tokens 1.36 s, 1,024 1.5 s, 4,096 2.4 s, 16,384 4.9 s).
ENCODING = {"cpu": 1024}
ENCODING_ON_ACCELERATOR = 16_384

# Attribution: one recorded batch of texts, ...
ATTRIBUTION = {"cpu": 512, "cuda": 8192, "mps": 2048}
# ... and the scaled copies of it that run at once, if memory allows. On a CPU more is no faster.
SCALED_COPIES = {"cpu": 4096, "cuda": 262_144, "mps": 16_384}


def encoding_budget(device: torch.device) -> int:
    """Return the largest number of padded tokens in one encoding pass on a device."""
    return ENCODING.get(device.type, ENCODING_ON_ACCELERATOR)
