"""How many hybrids a sweep has, and about how long they take, said before it starts."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from retroscope.collection.collection import Collection
from retroscope.encoders.encode import final_vectors, tokenise
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.study.sampled import sampled
from retroscope.study.transplant_settings import DIRECTIONS, SweepSettings
from retroscope.surgery.hybrids import encodings
from retroscope.surgery.transplant import sweep

TIMED = 8  # texts of each kind that the time of all is estimated from
MIB = 2**20


def plan_transplants(
    before: Retriever, after: Retriever, collection: Collection, settings: SweepSettings
) -> dict[str, Any]:
    """Hybrids, passages, queries, bytes of vectors in memory at most, and estimated seconds.

    Args:
        before: the backbone.
        after: the retriever; its speed is taken for both.
        collection: of which a sample is searched, where the settings say so.
        settings: which hybrids.
    """
    anatomy = after.passage.anatomy
    names = settings.transplants or sweep(anatomy.n_blocks, settings.shares, settings.groups)
    wanted = [
        (int(DIRECTIONS[direction][0] == "after"), name)
        for direction in settings.directions
        for name in dict.fromkeys(("none", *names, "all"))
    ]
    searched = sampled(collection, collection.judged_queries, settings.passages, settings.seed)
    asked = [query.text for query in searched.queries.values()]
    found = [searched.passage_text(passage) for passage in searched.passages]
    once = len(asked) * _each(after.query, asked) + len(found) * _each(after.passage, found)
    width = int(before.passage.backbone.config.get_text_config().hidden_size)
    return {
        "hybrids": len(names) * len(settings.directions),
        "bytes": 4 * len(wanted) * (len(asked) + len(found)) * width,
        "passages": len(found),
        "queries": len(asked),
        "seconds": round(encodings(anatomy, wanted) * once, 1),
    }


def _each(encoder: Encoder, texts: Sequence[str]) -> float:
    """Seconds to encode one of these texts, from a few out of the whole length of the list."""
    rows = tokenise(encoder, texts[:: max(1, len(texts) // TIMED)][:TIMED])
    final_vectors(encoder, rows[:1])  # the first call pays for warming up
    start = time.perf_counter()
    final_vectors(encoder, rows)
    return (time.perf_counter() - start) / len(rows)


def transplants_line(planned: Mapping[str, Any]) -> str:
    """The same in words."""
    return (
        f"transplants: {planned['hybrids']:,} hybrids over {planned['passages']:,} passages and "
        f"{planned['queries']:,} queries, each encoded from its first change up, about {planned['seconds']:,.0f} s; "
        f"at most {planned['bytes'] / MIB:,.0f} MiB of vectors"
    )
