"""Read checkpoints: recognise a folder, load its backbone, adapter, modules and tokenizer, and verify them."""
