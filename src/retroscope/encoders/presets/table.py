"""Table of presets: known retrievers by name. A test loads a tiny model in the file layout of each preset.

Add a preset here (of a decoder: to `decoders.py`), and its file layout to tests/published_layouts.py. A preset fills
the fields that a checkpoint does not record. A preset that contradicts the checkpoint is an error
(`encoders/presets/applying.py`).
"""

from collections.abc import Mapping

from retroscope.encoders.presets.decoders import DECODERS
from retroscope.encoders.presets.preset import CARD, MODULES, Preset

BERT, BERT_LARGE = "google-bert/bert-base-uncased", "google-bert/bert-large-uncased"
T5, T5_LARGE = "google-t5/t5-base", "google-t5/t5-large"
MODERNBERT, MPNET = "answerdotai/ModernBERT-base", "microsoft/mpnet-base"
ST = "sentence-transformers"

PRESETS: Mapping[str, Preset] = {
    "dpr": Preset(
        models={
            f"facebook/dpr-{tower}_encoder-{data}-base": BERT
            for tower in ("question", "ctx")
            for data in ("single-nq", "multiset")
        },
        families=("dpr", "bert"),
        pooling="cls",
        similarity="dot",
        sources={"recipe": "arXiv 2004.04906, section 3", "backbone": "arXiv 2004.04906, section 3.1"},
        checked="DPRQuestionEncoder and DPRContextEncoder of transformers",
        note="the authors of DPR joined titles and texts by [SEP]: pass --set data.title_separator=' [SEP] '",
    ),
    "contriever": Preset(
        models={
            "facebook/contriever": BERT,
            "facebook/contriever-msmarco": BERT,
            "facebook/mcontriever": "google-bert/bert-base-multilingual-cased",
            "facebook/mcontriever-msmarco": "google-bert/bert-base-multilingual-cased",
        },
        families=("bert",),
        pooling="mean",
        similarity="dot",
        sources={"recipe": "arXiv 2112.09118, section 3", "backbone": "arXiv 2112.09118, sections 3 and 5"},
    ),
    "ance": Preset(
        models={f"{ST}/msmarco-roberta-base-ance-firstp": "FacebookAI/roberta-base"},
        families=("roberta",),
        pooling="cls",
        similarity="dot",
        max_length=512,
        head=("dense", "layernorm"),
        sources={"recipe": MODULES, "similarity": "arXiv 2007.00808, section 3", "backbone": "arXiv 2007.00808"},
        checked="a stored copy of the model card and of 2_Dense/config.json",
        note="ANCE lower-cases texts before tokenisation, as the repository of the model says",
    ),
    "gtr-t5": Preset(
        models={f"{ST}/gtr-t5-base": T5, f"{ST}/gtr-t5-large": T5_LARGE},
        families=("t5",),
        pooling="mean",
        similarity="cosine",
        max_length=512,
        head=("dense", "normalize"),
        sources={"recipe": MODULES, "backbone": CARD},
        checked="a stored copy of the model card, and gtr_models.py of mteb",
    ),
    "sentence-t5": Preset(
        models={f"{ST}/sentence-t5-base": T5, f"{ST}/sentence-t5-large": T5_LARGE},
        families=("t5",),
        pooling="mean",
        similarity="cosine",
        max_length=256,
        head=("dense", "normalize"),
        sources={"recipe": MODULES, "backbone": CARD},
        checked="a stored copy of modules.json",
    ),
    "multilingual-e5": Preset(
        models={
            "intfloat/multilingual-e5-small": "microsoft/Multilingual-MiniLM-L12-H384",
            "intfloat/multilingual-e5-base": "FacebookAI/xlm-roberta-base",
            "intfloat/multilingual-e5-large": "FacebookAI/xlm-roberta-large",
        },
        families=("xlm-roberta", "bert"),
        pooling="mean",
        similarity="cosine",
        query_prompt="query: ",
        passage_prompt="passage: ",
        max_length=512,
        head=("normalize",),
        sources={"recipe": MODULES, "query_prompt": CARD, "passage_prompt": CARD, "backbone": CARD},
        checked="e5_models.py of mteb (prompts, similarity)",
    ),
    "e5": Preset(
        models={
            "intfloat/e5-base": BERT,
            "intfloat/e5-base-v2": BERT,
            "intfloat/e5-large": "google-bert/bert-large-uncased-whole-word-masking",
            "intfloat/e5-large-v2": "google-bert/bert-large-uncased-whole-word-masking",
        },
        families=("bert",),
        pooling="mean",
        similarity="cosine",
        query_prompt="query: ",
        passage_prompt="passage: ",
        max_length=512,
        head=("normalize",),
        sources={
            "recipe": MODULES,
            "query_prompt": CARD,
            "passage_prompt": CARD,
            "backbone": "arXiv 2212.03533, section 4.2",
        },
        checked="a stored copy of 1_Pooling/config.json, and e5_models.py of mteb (which has prompts and similarity)",
    ),
    "bge-en": Preset(
        models={"BAAI/bge-base-en-v1.5": "", "BAAI/bge-large-en-v1.5": "", "BAAI/bge-small-en-v1.5": ""},
        families=("bert",),
        pooling="cls",
        similarity="cosine",
        query_prompt="Represent this sentence for searching relevant passages: ",
        max_length=512,
        head=("normalize",),
        sources={"recipe": MODULES, "query_prompt": CARD, "passage_prompt": CARD},
        note="the model card of BGE names no backbone",
    ),
    "bge-m3": Preset(
        models={"BAAI/bge-m3": "BAAI/bge-m3-retromae", "BAAI/bge-m3-unsupervised": "BAAI/bge-m3-retromae"},
        families=("xlm-roberta",),
        pooling="cls",
        similarity="cosine",
        max_length=8192,
        head=("normalize",),
        sources={"recipe": MODULES, "backbone": CARD},
        checked="a stored copy of the model card (backbone, length)",
        note="only the dense vector of BGE-M3 is used; its sparse and multi-vector heads are not read",
    ),
    "gte": Preset(
        models={"thenlper/gte-base": BERT, "thenlper/gte-large": BERT_LARGE},
        families=("bert",),
        pooling="mean",
        similarity="cosine",
        max_length=512,
        head=("normalize",),
        sources={"recipe": MODULES, "backbone": "arXiv 2308.03281, section 4.1"},
    ),
    "gte-modernbert": Preset(
        models={"Alibaba-NLP/gte-modernbert-base": MODERNBERT},
        families=("modernbert",),
        pooling="cls",
        similarity="cosine",
        max_length=8192,
        head=(),
        sources={"recipe": MODULES, "similarity": CARD, "backbone": CARD},
        checked="ModernBertTextEmbedder of keras-hub (pooling, no normalisation)",
    ),
    "modernbert-embed": Preset(
        models={"nomic-ai/modernbert-embed-base": MODERNBERT},
        families=("modernbert",),
        pooling="mean",
        similarity="cosine",
        query_prompt="search_query: ",
        passage_prompt="search_document: ",
        max_length=8192,
        head=("normalize",),
        sources={"recipe": MODULES, "query_prompt": CARD, "passage_prompt": CARD, "backbone": CARD},
        checked="ModernBertTextEmbedder of keras-hub (pooling, prompts)",
    ),
    "nomic-embed": Preset(
        models={
            "nomic-ai/nomic-embed-text-v1": "nomic-ai/nomic-bert-2048",
            "nomic-ai/nomic-embed-text-v1.5": "nomic-ai/nomic-bert-2048",
        },
        families=("nomic_bert",),
        pooling="mean",
        similarity="cosine",
        query_prompt="search_query: ",
        passage_prompt="search_document: ",
        max_length=8192,
        sources={
            "recipe": MODULES,
            "query_prompt": CARD,
            "passage_prompt": CARD,
            "similarity": CARD,
            "backbone": "arXiv 2402.01613, section 4",
        },
        checked="the conversion of nomic_bert in transformers",
    ),
    "all-mpnet": Preset(
        models={f"{ST}/all-mpnet-base-v2": MPNET},
        families=("mpnet",),
        pooling="mean",
        similarity="cosine",
        max_length=384,
        head=("normalize",),
        sources={"recipe": MODULES, "backbone": CARD},
    ),
    "multi-qa-mpnet-dot": Preset(
        models={f"{ST}/multi-qa-mpnet-base-dot-v1": MPNET},
        families=("mpnet",),
        pooling="cls",
        similarity="dot",
        max_length=512,
        head=(),
        sources={"recipe": MODULES, "similarity": CARD, "backbone": CARD},
    ),
    "all-minilm": Preset(
        models={f"{ST}/all-MiniLM-L6-v2": "nreimers/MiniLM-L6-H384-uncased"},
        families=("bert",),
        pooling="mean",
        similarity="cosine",
        max_length=256,
        head=("normalize",),
        sources={"recipe": MODULES, "backbone": CARD},
        checked="the published weights",
    ),
    "tas-b": Preset(
        models={f"{ST}/msmarco-distilbert-base-tas-b": "distilbert/distilbert-base-uncased"},
        families=("distilbert",),
        pooling="cls",
        similarity="dot",
        max_length=512,
        head=(),
        sources={"recipe": MODULES, "similarity": "arXiv 2104.06967, section 3", "backbone": "arXiv 2104.06967"},
    ),
    **DECODERS,
}


def preset_of(model: str) -> str | None:
    """Return the name of the preset for a hub name, or None if there is no such preset."""
    return next((name for name, preset in PRESETS.items() if model in preset.models), None)


def backbone_of(model: str) -> str:
    """Return the hub name of a known retriever's backbone, or "" if none is known."""
    name = preset_of(model)
    return "" if name is None else PRESETS[name].models[model]
