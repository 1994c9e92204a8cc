"""How many hybrids a sweep has, and about how long they take, said before it starts."""

from collections.abc import Mapping, Sequence
from typing import Any

from retroscope.analyses.transplants.hybrid_scores import TOWERS, receiver_of, run_alike
from retroscope.analyses.transplants.interactions import players, subset_names
from retroscope.analyses.transplants.measure import check_names, refuse_large
from retroscope.analyses.transplants.random_controls import single_places
from retroscope.analyses.transplants.settings import SweepSettings
from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.inputs.pairing import same_tokens
from retroscope.inputs.sampled import sampled
from retroscope.inputs.texts import a_few, seconds_each, texts_of
from retroscope.surgery.hybrids import Wanted, encodings
from retroscope.surgery.transplant import RANDOM, sweep

MIB = 2**20


def plan_transplants(
    before: Retriever, after: Retriever, collection: Collection, settings: SweepSettings
) -> dict[str, Any]:
    """Hybrids, passages, queries, bytes of vectors, and estimated seconds.

    Args:
        before: the backbone.
        after: the retriever; its speed is taken for both.
        collection: of which a sample is searched, where the settings say so.
        settings: which hybrids.

    Raises:
        SettingsError: for a name that is none, or more vectors than are held in memory.
    """
    depth = after.passage.anatomy.n_blocks
    check_names(depth, settings)
    names = dict.fromkeys(("none", *(settings.transplants or sweep(depth, settings.shares, settings.groups)), "all"))
    wanted = [(receiver_of(direction), name) for direction in settings.directions for name in names]
    searched = sampled(collection, collection.judged_queries, settings.passages, settings.seed)
    refuse_large(searched, max(len(wanted), 2**settings.interactions), after)
    texts = len(searched.passages) + len(searched.queries)
    some = a_few(searched)
    seconds, control_seconds = 0.0, 0.0
    control = _controls(list(names), settings)
    for tower, n in zip(TOWERS, (len(searched.queries), len(searched.passages)), strict=True):
        once = n * seconds_each(texts_of(after, some, tower, settings.batch_tokens))
        runs = _encodings(before.tower(tower), after.tower(tower), wanted)
        if settings.interactions:
            first = receiver_of(settings.directions[0])
            group = players(depth, settings.interactions)
            runs += encodings(after.tower(tower).anatomy, [(first, name) for name in subset_names(group).values()])
        seconds += once * runs
        control_seconds += once * sum(encodings(after.tower(tower).anatomy, one) - 1 for one in control)
    return {
        "hybrids": (len(names) - 1) * len(settings.directions),  # "none" is the receiver
        "bytes": 4 * len(wanted) * texts * int(before.passage.backbone.config.get_text_config().hidden_size),
        "passages": len(searched.passages),
        "queries": len(searched.queries),
        "seconds": round(seconds, 3),
        "controls": sum(len(one) for one in control),
        "control_seconds": round(control_seconds, 3),
        "subsets": 2**settings.interactions - 1 if settings.interactions else 0,
    }


def _controls(names: Sequence[str], settings: SweepSettings) -> list[list[Wanted]]:
    """The random changes of every draw and direction, if every place alone proves significant: the most there can be.

    Of each run only the receiver is recorded.
    """
    places = single_places(names)
    return [
        [(receiver_of(direction), f"{RANDOM}:{draw}:{place}") for place in places]
        for direction in settings.directions
        for draw in range(settings.draws)
        if places
    ]


def _encodings(before: Encoder, after: Encoder, wanted: Sequence[Wanted]) -> float:
    """How many whole encodings of a text all hybrids cost: together where both directions can be, else apart."""
    if run_alike(before, after) and same_tokens(before, after):
        return encodings(after.anatomy, wanted)
    apart = [[(0, name) for receiver, name in wanted if receiver == r] for r in {receiver for receiver, _ in wanted}]
    return sum(encodings(after.anatomy, alone) for alone in apart)


def transplants_line(planned: Mapping[str, Any]) -> str:
    """The same in words."""
    controls = (
        f"; up to {planned['controls']:,} random changes of equal size besides, of places with a significant effect, "
        f"at most about {planned['control_seconds']:,.0f} s"
    )
    subsets = f" and {planned['subsets']:,} subsets of groups" if planned["subsets"] else ""
    return (
        f"transplants: {planned['hybrids']:,} hybrids{subsets} over {planned['passages']:,} passages and "
        f"{planned['queries']:,} queries, each encoded from its first change up, about {planned['seconds']:,.0f} s "
        f"(less what an earlier sweep left); {planned['bytes'] / MIB:,.0f} MiB of vectors"
        f"{controls if planned['controls'] else ''}"
    )
