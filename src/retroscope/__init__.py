"""Retroscope: what fine-tuning changed in a dense retriever, and what was already there."""
