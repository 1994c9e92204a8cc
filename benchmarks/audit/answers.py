"""BM25 negatives that hold an answer of the query: how many there are, and what leaving them out does to accuracy.

    python benchmarks/audit/answers.py --model MODEL --data beir:FOLDER --cache FOLDER [--layers 6]

"before" mines the negatives of the same collection without its answers, as all were mined before.
"""

from dataclasses import replace

from options import probing_options

from retroscope.collection.collection import Collection
from retroscope.collection.loading import load_collection
from retroscope.collection.negatives import hard_negatives
from retroscope.encoders.loading import load_retriever
from retroscope.probing.grid import probe
from retroscope.probing.settings import ProbeSettings
from retroscope.representations.represent import represent


def main() -> None:
    """Print the table."""
    parser = probing_options(__doc__)
    parser.add_argument("--passages", type=int, default=5)
    args = parser.parse_args()
    data = load_collection(args.data)
    retriever = load_retriever(args.model)
    vectors = represent(retriever, data, args.cache)
    by_name = {"before": hard_negatives(without_answers(data), 100), "after": hard_negatives(data, 100)}
    first = args.passages - 1
    kept = {(c.query_id, c.positive): c.negatives for c in by_name["after"].candidates}
    lost = [set(c.negatives[:first]) - set(kept[c.query_id, c.positive]) for c in by_name["before"].candidates]
    left_out = by_name["after"].left_out
    print(f"queries with an answer: {left_out.answered}; ranked passages left out: {left_out.with_answer}")
    print(
        f"of the {first} hardest negatives of {len(lost)} pairs: {sum(map(len, lost))}, in {sum(map(bool, lost))} pairs"
    )
    settings = ProbeSettings(
        probes=(retriever.similarity, "elementwise"), controls=("none",), passages=(args.passages,),
        layers=tuple(args.layers),
    )  # fmt: skip
    means = {
        name: probe(vectors, mined.candidates, settings, texts=data.query_texts).scores.mean().sel(control="none")
        for name, mined in by_name.items()
    }
    print(f"{'accuracy':20}{'before':>8}{'after':>8}")
    for layer in args.layers:
        for name in settings.probes:
            before, after = (float(one.sel(layer=layer, probe=name).squeeze()) for one in means.values())
            print(f"{f'{name}, layer {layer}':20}{before:8.3f}{after:8.3f}")


def without_answers(data: Collection) -> Collection:
    """The collection as a reader that keeps no answers gives it."""
    queries = [replace(query, answers=()) for query in data.queries.values()]
    return replace(data, queries={query.id: query for query in queries})


if __name__ == "__main__":
    main()
