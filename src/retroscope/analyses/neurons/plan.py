"""Plan attributions and ablations of neurons: count their work before it starts."""

from dataclasses import asdict, dataclass, replace

from retroscope.analyses.analysis import Planned
from retroscope.analyses.context import Context
from retroscope.analyses.neurons.ablation.pools import pools_of
from retroscope.analyses.neurons.settings import ENOUGH, TOWERS, NeuronAblationSettings, NeuronsSettings
from retroscope.attribution.plan import AttributionPlan, facts
from retroscope.attribution.settings import BOTH_TOWERS, AttributionSettings
from retroscope.attribution.work import RELATIVE_RATE, attribution_size
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.settings import PUBLISHED_PROTOCOL
from retroscope.encoders.work import measured_rate, operations
from retroscope.number_format import count, estimate
from retroscope.retrieval.work import search_seconds

OPEN = 0.5  # share of the sets of neurons that are expected to be measured beyond the first group of queries


@dataclass(frozen=True)
class AblationSize:
    """Upper bound on the work of an ablation.

    Attributes:
        ablations: how often each text is encoded: once for each set of fixed neurons, and twice by the intact model.
        ablation_texts: number of texts to encode.
        ablation_seconds: estimated seconds.
    """

    ablations: int = 0
    ablation_texts: int = 0
    ablation_seconds: float = 0.0


@dataclass(frozen=True)
class TowerSize:
    """Expected work of attributing and ablating the neurons of one model's query or passage encoder (tower).

    Attributes:
        examples: the largest number of examples that are attributed.
        seconds: estimated seconds of the attribution.
        ablation: upper bound on the work of the ablation.
    """

    examples: int
    seconds: float
    ablation: AblationSize

    def document(self) -> dict[str, float]:
        """Return the sizes of attribution and ablation as one mapping of JSON-like values."""
        return {"examples": self.examples, "seconds": self.seconds, **asdict(self.ablation)}


def towers_of(context: Context, settings: NeuronsSettings) -> tuple[str, ...]:
    """Return the encoders (towers) whose neurons are attributed: "query", "passage", or both.

    They are those of the settings. If the settings name none, a comparison under the published protocol attributes
    both.

    Raises:
        SettingsError: if the settings name both in a study of one model.
    """
    attribution = settings.attribution
    if not context.is_pair:
        return (attribution.scaled,)
    if attribution.tower is None and context.settings.protocol == PUBLISHED_PROTOCOL:
        return BOTH_TOWERS
    return attribution.towers


def plan_neurons(context: Context, settings: NeuronsSettings) -> Planned:
    """Plan the work on the neurons of every model: count examples and ablations, and estimate the seconds."""
    sizes = {
        f"{side}, {tower} tower": _expected(context, retriever, settings, tower)
        for side, retriever in context.models.items()
        for tower in towers_of(context, settings)
    }
    seconds = sum(size.seconds + size.ablation.ablation_seconds for size in sizes.values())
    attribution = settings.attribution
    how = f"neurons: target {attribution.target}, method {attribution.method}, quadrature {attribution.rule}"
    lines = (how, *(f"  {role}: {_line(size)}" for role, size in sizes.items()))
    return Planned(lines, seconds, {"neurons": {role: size.document() for role, size in sizes.items()}})


def _line(size: TowerSize) -> str:
    ablation = size.ablation
    again = (
        f"; ablation: {count(ablation.ablation_texts, 'text')} encoded up to {ablation.ablations} times more, "
        f"about {estimate(ablation.ablation_seconds)}"
    )
    attributed = f"{count(size.examples, 'example')} at most, about {estimate(size.seconds)}"
    return f"{attributed}{again if ablation.ablations else ''}"


def _expected(context: Context, retriever: Retriever, settings: NeuronsSettings, tower: str) -> TowerSize:
    attribution, collection = replace(settings.attribution, tower=tower), context.collection
    size = attribution_size(retriever.tower(tower), attribution, len(collection.judged_queries))
    once = context.seconds_each(retriever, tower, attribution.precision)
    seconds = size.expected * size.texts * size.passes * once / RELATIVE_RATE
    if attribution.target != "norm":
        seconds += size.examples * _compared_seconds(context, retriever, attribution)
    ablation = _ablation_size(context, retriever, settings.ablation, tower, size.expected)
    return TowerSize(size.examples, round(seconds, 3), ablation)


def _compared_seconds(context: Context, retriever: Retriever, attribution: AttributionSettings) -> float:
    """Estimate the seconds of encoding one query, its relevant passage and its negatives.

    The vectors serve to find the hardest negative. For the target `margin` in a comparison, these texts are encoded
    twice: both models rank the negatives first, and then each model encodes them for its own attribution.
    """
    margin = attribution.target == "margin"
    passages = 1 + (attribution.negatives if margin else 0)
    times = 2 if margin and context.is_pair else 1
    each = {tower: context.seconds_each(retriever, tower) for tower in ("query", "passage")}
    return times * (each["query"] + passages * each["passage"])


def _ablation_size(
    context: Context, retriever: Retriever, settings: NeuronAblationSettings | None, tower: str, attributed: int
) -> AblationSize:
    """Return an upper bound on the encodings of an ablation, and estimate their seconds.

    Args:
        attributed: number of attributed examples. The ablation leaves as many queries out if enough queries remain.
    """
    if settings is None:
        return AblationSize()
    collection, runs = context.collection, settings.ablations + 2
    queries = collection.judged_queries
    if settings.held_out is not False and len(queries) - attributed >= ENOUGH:
        queries = queries[attributed:]
    pools = pools_of(collection, queries, settings, ())
    numbers = {
        "passage": sum(len(pool.passages) for pool in pools),
        "query": sum(len(pool.judged_queries) for pool in pools),
    }
    towers = TOWERS[settings.tower or tower]
    once = sum(numbers[name] * context.seconds_each(retriever, name, settings.precision) for name in towers)
    width = retriever.passage.width
    once += search_seconds(numbers["query"], numbers["passage"], width, settings.measures, context.product_rate)
    texts = sum(numbers[name] for name in towers)
    share = 1 / len(pools) + OPEN * (1 - 1 / len(pools))
    return AblationSize(runs, texts, round(share * runs * once, 3))


def planned(work: AttributionPlan) -> Planned:
    """Return the plan of an attribution over a file of texts, as lines to print and as JSON-like values."""
    size, attribution, encoder = facts(work), work.settings, work.encoder
    lengths = [len(row) for rows in work.tokens for row in rows]
    passes = attribution_size(encoder, attribution, len(work.examples)).passes
    rate = RELATIVE_RATE * measured_rate(encoder, lengths, attribution.precision)
    seconds = passes * operations(encoder, lengths) / rate
    lines = (
        f"neurons of {encoder.name}, {attribution.scaled} tower: target {attribution.target}, method "
        f"{attribution.method}, quadrature {attribution.rule}, {len(work.sites)} FFN matrices",
        f"  {size['examples']:,} examples, {size['texts']:,} texts, {size['tokens']:,} tokens; in all about "
        f"{estimate(seconds)}",
    )
    document = {
        "model": encoder.name,
        "recipe": encoder.recipe.as_dict(),
        "plan": size | {"seconds": round(seconds, 1)},
        "settings": asdict(attribution),
    }
    return Planned(lines, seconds, document, work=work)
