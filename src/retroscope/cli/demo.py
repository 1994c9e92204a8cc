"""retroscope demo."""

from pathlib import Path
from typing import Annotated

import typer

from retroscope.cli import options as o


def run(
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.", metavar="DIR")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option("--seed", help="Of texts, weights and training.")] = 0,
    as_json: o.Json = False,
) -> None:
    """Train a small pair on the spot and compare it.

    Everything that compare does, on invented text, in about a minute and without a network.
    """
    from retroscope.cli.resolve import resolve
    from retroscope.cli.terminal import claim, emit, note, progress_bars, say
    from retroscope.reporting.console import summary as in_words
    from retroscope.study.compare import compare
    from retroscope.study.demo import make_demo_pair
    from retroscope.study.load import collection_of, pair_of
    from retroscope.study.summary import write_summary

    claim(out)
    with progress_bars() as progress:
        pair = make_demo_pair(out / "pair", seed, progress)
        load = {"pooling": "mean"}
        chosen = resolve(
            {
                "before": o.model_values(str(pair.backbone), load),
                "after": o.model_values(str(pair.retriever), load),
                "data.source": f"beir:{pair.collection}",
            },
            None,
            None,
        )
        before, after = pair_of(chosen.before, chosen.after)
        study = compare(before, after, collection_of(chosen.data), chosen, cache=out / "vectors", progress=progress)
    note("statistics, tables and figures ...")
    page = study.report(out)
    document = write_summary(study, out)
    emit(document) if as_json else say(in_words(study.findings()))
    note(f"report: {page}")
