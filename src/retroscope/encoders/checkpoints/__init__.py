"""Reading checkpoints: what a folder is, its backbone, adapter, modules and tokenizer, each with its proof."""
