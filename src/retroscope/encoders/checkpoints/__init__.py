"""Read checkpoints: recognise a folder, and load its backbone, adapter, modules and tokenizer with proofs."""
