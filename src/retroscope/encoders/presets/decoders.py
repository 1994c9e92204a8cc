"""Presets of retrievers that are fine-tuned from decoders."""

from collections.abc import Mapping

from retroscope.encoders.presets.preset import CARD, MODULES, Preset

WEB_SEARCH = "Given a web search query, retrieve relevant passages that answer the query"

DECODERS: Mapping[str, Preset] = {
    "qwen3-embedding": Preset(
        models={f"Qwen/Qwen3-Embedding-{size}": f"Qwen/Qwen3-{size}-Base" for size in ("0.6B", "4B", "8B")},
        families=("qwen3",),
        pooling="last_token",
        similarity="cosine",
        query_prompt=f"Instruct: {WEB_SEARCH}\nQuery:",
        head=("normalize",),
        sources={
            "recipe": MODULES,
            "query_prompt": "repository: config_sentence_transformers.json",
            "passage_prompt": "repository: config_sentence_transformers.json",
            "backbone": CARD,
        },
        note="the tokenizer of Qwen3-Embedding appends EOS to every text",
    ),
    "embeddinggemma": Preset(
        models={"google/embeddinggemma-300m": ""},
        families=("gemma3_text",),
        pooling="mean",
        similarity="cosine",
        query_prompt="task: search result | query: ",
        passage_prompt="title: none | text: ",
        max_length=2048,
        causal=False,
        head=("dense", "dense", "normalize"),
        sources={
            "recipe": MODULES,
            "query_prompt": CARD,
            "passage_prompt": CARD,
            "causal": "repository: config.json (use_bidirectional_attention)",
        },
        checked="stored copies of 1_Pooling and 2_Dense, and google_embeddinggemma.py of mteb (which has prompts, "
        "length and similarity)",
        note="the backbone of EmbeddingGemma is not published",
    ),
    "llm2vec": Preset(
        models={"McGill-NLP/LLM2Vec-Sheared-LLaMA-mntp-supervised": "princeton-nlp/Sheared-LLaMA-1.3B"},
        families=("llama",),
        pooling="mean",
        similarity="cosine",
        query_prompt=f"{WEB_SEARCH}: ",
        max_length=512,
        causal=False,
        pool_prompt=False,
        sources={
            "recipe": "llm2vec: class LLM2Vec (skip_instruction, max_length)",
            "query_prompt": CARD,
            "causal": "arXiv 2404.05961, section 2",
            "backbone": CARD,
        },
        checked="llm2vec_models.py of mteb (adapters, similarity)",
        note=(
            "the base of this adapter is itself an adapter (-mntp); in the mean of a passage, Retroscope includes BOS, "
            "but llm2vec does not"
        ),
    ),
    "repllama": Preset(
        models={"castorini/repllama-v1-7b-lora-passage": "meta-llama/Llama-2-7b-hf"},
        families=("llama",),
        pooling="last_token",
        similarity="cosine",
        query_prompt="query: ",
        passage_prompt="passage: ",
        max_length=512,
        append_eos=True,
        sources={
            "recipe": "arXiv 2310.08319, section 3",
            "query_prompt": CARD,
            "passage_prompt": CARD,
            "backbone": "repository: adapter_config.json",
        },
        checked="repllama_models.py of mteb (EOS, length, padding, normalisation)",
    ),
    "e5-mistral": Preset(
        models={"intfloat/e5-mistral-7b-instruct": "mistralai/Mistral-7B-v0.1"},
        families=("mistral",),
        pooling="last_token",
        similarity="cosine",
        query_prompt=f"Instruct: {WEB_SEARCH}\nQuery: ",
        max_length=4096,
        append_eos=True,
        head=("normalize",),
        sources={
            "recipe": MODULES,
            "query_prompt": CARD,
            "passage_prompt": CARD,
            "append_eos": CARD,
            "backbone": "arXiv 2401.00368, section 4.1",
        },
    ),
}
