"""Plan transplants of weights between two models: count the resulting hybrids, and estimate their time."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from retroscope.analyses.analysis import Planned
from retroscope.analyses.context import Context
from retroscope.analyses.transplants.controls import single_places
from retroscope.analyses.transplants.hybrids.further_trainings import (
    FurtherTrainings,
    further_seconds,
    further_trainings,
)
from retroscope.analyses.transplants.hybrids.scores import TOWERS, receiver_of, run_alike
from retroscope.analyses.transplants.interactions import players, subset_names
from retroscope.analyses.transplants.settings import SweepSettings
from retroscope.analyses.transplants.single_blocks import blocks_of_all
from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.errors import SettingsError
from retroscope.inputs.pairing import same_tokens
from retroscope.inputs.sampled import sampled
from retroscope.number_format import count, estimate
from retroscope.retrieval.work import search_seconds
from retroscope.statistics.testing.sequential import looks
from retroscope.surgery.ownership import HybridKey, encodings
from retroscope.surgery.transplant import RANDOM, donated, named, sweep
from retroscope.typesetting.subject import AFTER, BEFORE

MIB = 2**20
SIGNIFICANT = 0.5  # expected share of the single places with a significant effect, which need random changes
MOST_HELD = 2**31  # numbers in the vectors of all hybrids, which are in memory at the same time


@dataclass(frozen=True)
class SweepWork:
    """Names of the weight transplants that are planned, for the retriever and for its other training runs.

    Attributes:
        names: names of all hybrids, with "none" (the intact receiver) and "all".
        subsets: names of the transplants of every subset of a few groups, empty if they were not requested.
        blocks: names of the single blocks of all groups, which are transplanted if their group is split.
        further: other training runs of the retriever, whose single blocks, groups and parts are transplanted, too.
    """

    names: tuple[str, ...]
    subsets: tuple[str, ...]
    blocks: tuple[str, ...]
    further: FurtherTrainings


@dataclass(frozen=True)
class _Cost:
    """Cost of the transplants: number of full forward passes of each text.

    Attributes:
        hybrids: for all hybrids and subsets.
        controls: upper bound for the random changes.
    """

    hybrids: float
    controls: float


@dataclass(frozen=True)
class SweepSize:
    """Expected cost of the transplants: numbers of hybrids and texts, memory, and seconds.

    Attributes:
        hybrids: number of hybrids of all directions, without the intact receivers.
        bytes: size of the vectors of all hybrids, which are in memory at the same time.
        passages, queries: number of passages and of queries that every hybrid encodes.
        seconds: estimated seconds for the hybrids and subsets.
        controls: the largest number of random changes.
        control_seconds: estimated seconds for these random changes.
        subsets: number of non-empty subsets of the groups whose interactions are measured.
        blocks: the largest number of single blocks that are transplanted because their group is split.
        block_seconds: estimated seconds for these blocks, and for all random changes of each.
        trainings: number of other training runs whose single blocks, groups and parts are transplanted, too.
        training_seconds: estimated seconds for these trainings.
    """

    hybrids: int
    bytes: int
    passages: int
    queries: int
    seconds: float
    controls: int
    control_seconds: float
    subsets: int
    blocks: int
    block_seconds: float
    trainings: int
    training_seconds: float


def check_names(n_blocks: int, settings: SweepSettings) -> None:
    """Raise an error if the settings name an unknown transplant, or the same weights twice.

    Raises:
        SettingsError: for an unknown name, or two names of the same weights.
    """
    by_weights: dict[object, str] = {}
    for name in settings.transplants or ():
        other = by_weights.setdefault(donated(named(name, n_blocks), n_blocks), name)
        if other != name:
            raise SettingsError(
                f"{other!r} and {name!r} name the same transplant", fix=f"remove {name!r} from the transplants"
            )


def plan(context: Context, settings: SweepSettings) -> Planned:
    """Plan the transplants: count hybrids, passages, queries and bytes of vectors, and estimate the seconds.

    A hybrid is one model with some weights of the other.

    The seconds include the hybrids of other training runs. They also include the single blocks of an expected share
    (`SIGNIFICANT`) of the groups, if groups are split, and the first half of the random changes, for the same share of
    the measured blocks, groups and parts.

    Raises:
        SettingsError: for an unknown name, or more vectors than fit into memory.
    """
    pair = (context.models[BEFORE], context.models[AFTER])
    collection, depth = context.collection, pair[1].passage.anatomy.n_blocks
    check_names(depth, settings)
    work = _work(depth, settings, context)
    searched = sampled(collection, collection.judged_queries, settings.passages, settings.seed)
    refuse_large(searched, held_together(work, settings), pair[1])
    control = _controls(work.names, settings)
    seconds = control_seconds = 0.0
    sizes = dict(zip(TOWERS, (len(searched.queries), len(searched.passages)), strict=True))
    for tower, n in sizes.items():
        once = n * context.seconds_each(pair[1], tower, settings.precision)
        cost = _cost(pair[0].tower(tower), pair[1].tower(tower), work, control, settings)
        seconds += once * cost.hybrids
        control_seconds += once * cost.controls
    each = _search_seconds(context, searched, settings)
    searches, controls = len(work.names) * len(settings.directions) + len(work.subsets), sum(map(len, control))
    seconds, control_seconds = seconds + searches * each, control_seconds + controls * each
    of_trainings = further_seconds(context, work.further, sizes, each, settings)
    block_seconds, block_control_seconds = _block_seconds(context, work.blocks, sizes, each, settings)
    size = SweepSize(
        hybrids=(len(work.names) - 1) * len(settings.directions),  # "none" is the receiver
        bytes=4 * _numbers(searched, len(work.names) * len(settings.directions), pair[0]),
        passages=len(searched.passages),
        queries=len(searched.queries),
        seconds=round(seconds, 3),
        controls=controls,
        control_seconds=round(control_seconds, 3),
        subsets=len(work.subsets) - 1 if work.subsets else 0,
        blocks=len(work.blocks) * len(settings.directions),
        block_seconds=round(block_seconds + block_control_seconds, 3),
        trainings=len(work.further.measured),
        training_seconds=round(of_trainings, 3),
    )
    drawn = SIGNIFICANT * _drawn_share(settings)
    expected = drawn * control_seconds + SIGNIFICANT * (block_seconds + drawn * block_control_seconds)
    return Planned((_line(size),), seconds + expected + of_trainings, asdict(size), work=work)


def _drawn_share(settings: SweepSettings) -> float:
    """Return the share of the random draws that are made before the first test, or 0 without draws."""
    return looks(settings.draws)[0].draws / settings.draws if settings.draws else 0.0


def _search_seconds(context: Context, searched: Collection, settings: SweepSettings) -> float:
    measures, width = settings.measures or context.settings.measures, context.models[AFTER].passage.width
    return search_seconds(len(searched.queries), len(searched.passages), width, measures, context.product_rate)


def _work(depth: int, settings: SweepSettings, context: Context) -> SweepWork:
    names = settings.transplants or sweep(depth, settings.shares, settings.groups)
    subsets = tuple(subset_names(players(depth, settings.interactions)).values()) if settings.interactions else ()
    every = tuple(dict.fromkeys(("none", *names, "all")))
    blocks = tuple(blocks_of_all(every)) if settings.split_groups else ()
    return SweepWork(every, subsets, blocks, further_trainings(context, every))


def held_together(work: SweepWork, settings: SweepSettings) -> int:
    """Return the number of hybrids whose vectors are held in memory at a time."""
    return max(len(work.names) * len(settings.directions), len(work.subsets), 1 + len(work.blocks))


def refuse_large(searched: Collection, hybrids: int, after: Retriever) -> None:
    """Raise an error if the vectors of all hybrids together exceed the memory limit, `MOST_HELD` numbers.

    Raises:
        SettingsError: with the size of the vectors.
    """
    numbers = _numbers(searched, hybrids, after)
    if numbers > MOST_HELD:
        texts = len(searched.passages) + len(searched.queries)
        raise SettingsError(
            f"the vectors of {hybrids} hybrids for {texts:,} texts take {4 * numbers / 2**30:,.0f} GiB, more than the "
            f"limit of {4 * MOST_HELD / 2**30:.0f} GiB",
            fix="search fewer passages (transplants.passages), or name fewer transplants (transplants.transplants)",
        )


def _numbers(searched: Collection, hybrids: int, model: Retriever) -> int:
    width = int(model.passage.backbone.config.get_text_config().hidden_size)
    return (len(searched.passages) + len(searched.queries)) * hybrids * width


def _controls(names: Sequence[str], settings: SweepSettings) -> list[list[HybridKey]]:
    """Return the keys of all random changes that are measured if every block, group and part has a significant effect.

    There is one list for each direction and draw. A key is (index of the receiving model, name of the random change).
    """
    places = single_places(names)
    return [
        [(receiver_of(direction), f"{RANDOM}:{draw}:{place}") for place in places]
        for direction in settings.directions
        for draw in range(settings.draws)
        if places
    ]


def _cost(
    before: Encoder, after: Encoder, work: SweepWork, control: Sequence[Sequence[HybridKey]], settings: SweepSettings
) -> _Cost:
    keys = [(receiver_of(direction), name) for direction in settings.directions for name in work.names]
    runs = together_or_apart(before, after, keys)
    if work.subsets:
        first = receiver_of(settings.directions[0])
        runs += encodings(after.anatomy, [(first, name) for name in work.subsets])
    return _Cost(runs, sum(encodings(after.anatomy, one) - 1 for one in control))


def _block_seconds(
    context: Context, blocks: Sequence[str], sizes: Mapping[str, int], each: float, settings: SweepSettings
) -> tuple[float, float]:
    """Return the estimated seconds of transplanting all single blocks, and of all random changes of each.

    Args:
        sizes: tower -> number of its texts.
        each: estimated seconds of a search.
    """
    searches = len(blocks) * len(settings.directions) * each
    seconds, control_seconds = searches, settings.draws * searches
    for tower, n in sizes.items() if blocks else ():
        once = n * context.seconds_each(context.models[AFTER], tower, settings.precision)
        cost = _cost_of_blocks(context.models[AFTER].tower(tower), blocks, settings)
        seconds += once * cost.hybrids
        control_seconds += once * cost.controls
    return seconds, control_seconds


def _cost_of_blocks(after: Encoder, blocks: Sequence[str], settings: SweepSettings) -> _Cost:
    """Return the cost of single blocks and of their random changes. Only the receivers run as a whole, not the donors.

    A random change of a block costs as much as its transplant.
    """
    alone = sum(
        encodings(after.anatomy, [(receiver_of(direction), name) for name in ("none", *blocks)]) - 1
        for direction in settings.directions
    )
    return _Cost(alone, settings.draws * alone)


def together_or_apart(before: Encoder, after: Encoder, keys: Sequence[HybridKey]) -> float:
    """Return the cost of encoding a text by all hybrids, as a number of full forward passes.

    Hybrids of both directions share forward passes if possible.
    """
    if run_alike(before, after) and same_tokens(before, after):
        return encodings(after.anatomy, keys)
    apart = [[(0, name) for receiver, name in keys if receiver == r] for r in {receiver for receiver, _ in keys}]
    return sum(encodings(after.anatomy, alone) for alone in apart)


def _line(size: SweepSize) -> str:
    controls = (
        f"; also up to {size.controls:,} random changes of equal size, for transplants with a significant effect, at "
        f"most about {estimate(size.control_seconds)}"
    )
    subsets = f" and {size.subsets:,} subsets of groups" if size.subsets else ""
    blocks = (
        f"; also up to {size.blocks:,} single blocks of groups with a significant effect, with their random changes at "
        f"most about {estimate(size.block_seconds)}"
    )
    trainings = (
        f"; single blocks or parts, and all weights, of {count(size.trainings, 'other training')}, about "
        f"{estimate(size.training_seconds)}"
    )
    return (
        f"transplants: {size.hybrids:,} hybrids{subsets} over {size.passages:,} passages and "
        f"{size.queries:,} queries, each encoded from its first changed layer up, about {estimate(size.seconds)} "
        f"(less if an earlier run left vectors in the cache); {size.bytes / MIB:,.0f} MiB of vectors"
        f"{controls if size.controls else ''}{blocks if size.blocks else ''}{trainings if size.trainings else ''}"
    )
