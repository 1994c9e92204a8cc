"""Compare stored representations of two models layer by layer."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from retroscope.collection.records import first_of_each
from retroscope.display import ShownCount, shown_count
from retroscope.drift.geometry import alignment
from retroscope.drift.result import RepresentationDrift
from retroscope.drift.settings import DriftSettings
from retroscope.drift.similarity import u_centred
from retroscope.drift.statistics import SHAPES, Prepare, similarity_measures
from retroscope.errors import AnalysisError
from retroscope.representations.vectors import Representations, RetrieverRepresentations, Vectors
from retroscope.statistics.resampling.jackknife import GROUPS, fewest_texts, jackknife

TOWERS = ("query", "passage")
VectorsByLayer = Float[np.ndarray, "text layer dim"]


def representation_drift(
    before: RetrieverRepresentations,
    after: RetrieverRepresentations,
    pairs: Sequence[tuple[str, str]] = (),
    *,
    random_weights: RetrieverRepresentations | None = None,
    other_trainings: Sequence[RetrieverRepresentations] = (),
    text_of: Mapping[str, Callable[[str], str]] | None = None,
    settings: DriftSettings | None = None,
    progress: ShownCount = None,
) -> RepresentationDrift:
    """Compare two models' stored vectors layer by layer: their similarity (e.g. CKA), and the geometry of each.

    Args:
        before: vectors of the backbone.
        after: vectors of the retriever over the same collection.
        pairs: ids of queries and of their relevant passages, whose distance ("alignment") is measured.
        random_weights: vectors of a copy of the backbone with random weights, over the same collection.
        other_trainings: vectors of other trainings of the retriever (other seeds), over the same collection. Their
            similarity to `after` is the ceiling, because these models differ only by chance.
        text_of: tower -> function that returns the text of an id. Identical texts count once
            (`collection.records.folded`), and so do queries with the same text in `pairs`. If None, all texts are
            treated as distinct.
        settings: how many texts are sampled, and how intervals are computed.
        progress: function that is called with (how many layers are done, how many there are). True shows a bar, False
            shows nothing, and None shows a bar in a terminal or a notebook.

    Raises:
        AnalysisError: if the models have different texts or numbers of layers, or too few texts for an interval.
    """
    settings_used = settings or DriftSettings()
    text_of_tower = text_of or {}
    sampled = {
        tower: _sample(_of(before, tower), _of(after, tower), text_of_tower.get(tower), settings_used)
        for tower in TOWERS
    }
    _enough(min(map(len, sampled.values())), settings_used)
    places = [(tower, k) for tower in TOWERS for k in range(before.passage.n_layers)]
    similar: list[dict[str, object]] = []
    shapes: list[dict[str, object]] = []
    read = {tower: [_rows(_of(side, tower), sampled[tower]) for side in (before, after)] for tower in TOWERS}
    others = {
        name: [{t: _rows(_other(side, before, t), sampled[t]) for t in TOWERS} for side in sides]
        for name, sides in (
            ("random_weights", () if random_weights is None else (random_weights,)),
            ("other_training", other_trainings),
        )
    }
    with shown_count(progress, "drift by layer") as report:
        for layers_done, (tower, k) in enumerate(places, start=1):
            x, y = (layers[:, k] for layers in read[tower])
            controls = {name: [side[tower][:, k] for side in sides] for name, sides in others.items()}
            similar += [{"tower": tower, "layer": k} | row for row in _similar(x, y, controls, settings_used)]
            shapes += [{"tower": tower, "layer": k} | row for row in _shapes(x, y, settings_used)]
            if report:
                report(layers_done, len(places))
    shapes += _aligned(
        before, after, _pairs(before, _once(pairs, text_of_tower.get("query")), settings_used), settings_used
    )
    cross = [
        {"tower": tower} | row
        for tower in TOWERS
        for row in _cross(*(layers[_few(len(layers), settings_used)] for layers in read[tower]))
    ]
    sizes = {tower: len(rows) for tower, rows in sampled.items()}
    return RepresentationDrift(pd.DataFrame(similar), pd.DataFrame(shapes), pd.DataFrame(cross), sizes)


def _enough(n: int, settings: DriftSettings) -> None:
    needed = fewest_texts(settings.neighbours)
    if n < needed:
        raise AnalysisError(
            f"{n} distinct queries or passages are too few for intervals with {settings.neighbours} neighbours",
            where="drift",
            fix=f"give at least {needed} queries and passages, or a smaller representations.neighbours",
        )


def _of(side: RetrieverRepresentations, tower: str) -> Representations:
    return side.query if tower == "query" else side.passage


def _other(side: RetrieverRepresentations, before: RetrieverRepresentations, tower: str) -> Representations:
    """Return the vectors of one tower of a control model, after a check that texts and layers are those of `before`."""
    theirs, ours = _of(side, tower), _of(before, tower)
    _same_texts(ours, theirs)
    return theirs


def _rows(side: Representations, rows: Int[np.ndarray, "n"]) -> VectorsByLayer:
    return side.texts(rows)


def _few(n: int, settings: DriftSettings) -> Int[np.ndarray, "few"]:
    """Return the row indices, in rising order, of `settings.cross_texts` random texts of `n`, or all if fewer."""
    return np.sort(np.random.default_rng([settings.seed, 1]).permutation(n)[: settings.cross_texts])


def _sample(
    one: Representations, two: Representations, text_of: Callable[[str], str] | None, settings: DriftSettings
) -> Int[np.ndarray, "n"]:
    """Return the rows of the texts to compare: at most `settings.texts`, each distinct text once.

    The rows are the same in both models.
    """
    _same_texts(one, two)
    rows = np.arange(len(one.ids))
    if text_of is not None:
        rows = np.fromiter(first_of_each(map(text_of, one.ids)), dtype=np.int64)
    drawn = np.random.default_rng(settings.seed).permutation(len(rows))[: settings.texts]
    return np.sort(rows[drawn])


def _once(pairs: Sequence[tuple[str, str]], text_of: Callable[[str], str] | None) -> Sequence[tuple[str, str]]:
    """Return the first pair of every distinct query text, because several pairs of one query are not independent."""
    return pairs if text_of is None else [pairs[i] for i in first_of_each(text_of(query) for query, _ in pairs)]


def _same_texts(one: Representations, two: Representations) -> None:
    if list(one.ids) != list(two.ids) or one.n_layers != two.n_layers:
        raise AnalysisError(
            f"the vectors of the two models cannot be paired, because their texts or layers differ: {len(one.ids)} "
            f"texts with {one.n_layers} layers, and {len(two.ids)} texts with {two.n_layers} layers",
            where="drift",
            fix="encode the same collection with a backbone and the retriever fine-tuned from it",
        )


def _similar(
    x: Vectors, y: Vectors, controls: Mapping[str, Sequence[Vectors]], settings: DriftSettings
) -> Iterator[dict[str, object]]:
    """Yield a table row for every similarity of the two models at one layer.

    A row also has three reference values: the similarity by chance, that of two halves of one model's dimensions, and
    those with the controls (random weights, other trainings).
    """
    every = np.arange(len(x))
    for name, (prepare, chance) in similarity_measures(
        x, y, neighbours=settings.neighbours, seed=settings.seed
    ).items():
        value, low, high = jackknife(prepare(x, y), len(x), level=settings.level, seed=settings.seed)
        own = [_halves(prepare, v, settings.seed) for v in (x, y)]
        yield {
            "statistic": name,
            "value": value,
            "low": max(low, -1.0),
            "high": min(high, 1.0),
            "chance": chance,
            "halves": float(np.sqrt(max(own[0], 0.0) * max(own[1], 0.0))),
            **{
                control: float(np.mean([prepare(mine, v)(every) for v in controls[control]]))
                if controls[control]
                else np.nan
                for control, mine in (("other_training", y), ("random_weights", x))
            },
        }


def _estimate(statistic: Callable[..., float], *arrays: Vectors, settings: DriftSettings) -> tuple[float, float, float]:
    """Return (value, low, high) of a statistic: its value over all texts, and the ends of its jackknife interval.

    Args:
        arrays: arrays with a row for each text, which are the arguments of the statistic.
    """
    return jackknife(
        lambda rows: statistic(*(v[rows] for v in arrays)), len(arrays[0]), level=settings.level, seed=settings.seed
    )


def _halves(prepare: Prepare, x: Vectors, seed: int) -> float:
    """Return the similarity between two random halves of the dimensions of one model's vectors."""
    order = np.random.default_rng(seed).permutation(x.shape[1])
    middle = len(order) // 2
    return prepare(x[:, order[:middle]], x[:, order[middle:]])(np.arange(len(x)))


def _shapes(x: Vectors, y: Vectors, settings: DriftSettings) -> Iterator[dict[str, object]]:
    for side, v in (("before", x), ("after", y)):
        for name, shape in SHAPES.items():
            value, low, high = _estimate(shape, v, settings=settings)
            yield {"side": side, "statistic": name, "value": value, "low": low, "high": high}


def _pairs(
    before: RetrieverRepresentations, pairs: Sequence[tuple[str, str]], settings: DriftSettings
) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]] | None:
    """Return the rows of queries and of their relevant passages, for at most `settings.texts` random pairs.

    Return None if there are too few pairs for an interval.
    """
    if len(pairs) < 2 * GROUPS:
        return None
    drawn = np.sort(np.random.default_rng(settings.seed).permutation(len(pairs))[: settings.texts])
    sampled = [pairs[i] for i in drawn]
    return before.query.rows([q for q, _ in sampled]), before.passage.rows([p for _, p in sampled])


def _aligned(
    before: RetrieverRepresentations,
    after: RetrieverRepresentations,
    judged: tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]] | None,
    settings: DriftSettings,
) -> Iterator[dict[str, object]]:
    if judged is None:
        return
    for side, vectors in (("before", before), ("after", after)):
        queries, passages = _rows(vectors.query, judged[0]), _rows(vectors.passage, judged[1])
        for k in range(vectors.passage.n_layers):
            value, low, high = _estimate(alignment, queries[:, k], passages[:, k], settings=settings)
            place = {"tower": "both", "layer": k, "side": side, "statistic": "alignment"}
            yield {**place, "value": value, "low": low, "high": high}


def _cross(one: VectorsByLayer, two: VectorsByLayer) -> Iterator[dict[str, object]]:
    """Yield the CKA of every layer of one model with every layer of the other."""
    grams = [np.stack([u_centred(side[:, k]).ravel() for k in range(side.shape[1])]) for side in (one, two)]
    lengths = [np.linalg.norm(g, axis=1) for g in grams]
    with np.errstate(invalid="ignore", divide="ignore"):  # a layer that never varies has no CKA
        cka_values = grams[0] @ grams[1].T / np.outer(*lengths)
    for i, j in np.ndindex(*cka_values.shape):
        yield {"layer_before": i, "layer_after": j, "cka": float(cka_values[i, j])}
