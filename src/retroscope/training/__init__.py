"""Backbone -> retriever: pre-training objectives, contrastive fine-tuning."""
