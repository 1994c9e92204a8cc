"""Names of blocks and parts of a model, for sentences."""

PART_WORDS = {
    "attention": "attention",
    "ffn_in": "the FFN's input matrices",
    "ffn_out": "the FFN's output matrices",
    "norms": "the norms",
    "embeddings": "the embeddings",
}


def blocks_named(transplant: str) -> str:
    """Return the words for transplanted blocks: "block:3" is "block 3", "block:1-5" is "blocks 1 to 5"."""
    blocks = transplant.partition(":")[2]
    first, dash, last = blocks.partition("-")
    return f"blocks {first} to {last}" if dash else f"block {blocks}"


def place_words(place: str) -> str:
    """Return the words for transplanted blocks or one part of all blocks: "norms" is "the norms"."""
    return PART_WORDS[place] if place in PART_WORDS else blocks_named(place)
