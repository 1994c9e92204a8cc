"""Blocks and parts of a model in words."""

PART_WORDS = {
    "attention": "attention",
    "ffn_in": "the FFN's first matrices",
    "ffn_out": "the FFN's last matrices",
    "norms": "the norms",
    "embeddings": "the embeddings",
}


def blocks_named(transplant: str) -> str:
    """Return what "block:3" or "block:1-5" is called in a sentence."""
    blocks = transplant.partition(":")[2]
    first, dash, last = blocks.partition("-")
    return f"blocks {first} to {last}" if dash else f"block {blocks}"


def place_words(place: str) -> str:
    """Return what blocks or a part of all blocks are called in a sentence."""
    return PART_WORDS[place] if place in PART_WORDS else blocks_named(place)
