"""retroscope demo."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from retroscope.cli import options as o
from retroscope.cli.defaults import option
from retroscope.cli.groups import flat
from retroscope.cli.loading import load_libraries
from retroscope.cli.values import model_values

EXAMPLE = "retroscope demo"
OUT, EXPOSURES = Path("runs/demo"), "exposures.json"


@flat()
def run(
    out: Annotated[Path, option("--out", help="Folder to write to", metavar="DIR", default=str(OUT))] = OUT,
    retrain: Annotated[bool, option("--retrain", help="Train the models again first, in subfolders of --out")] = False,
    as_json: o.Json = False,
) -> None:
    """Compare the two small models that come with Retroscope.

    They were trained on invented people, so it is known what each of them read. All of compare, in about a minute and
    without a network.
    """
    load_libraries()
    from retroscope import documents
    from retroscope.cli.resolve import resolve
    from retroscope.cli.terminal import claimed, emit, note, say
    from retroscope.collection.world.files import NEGATIVES_RUN
    from retroscope.display import progress_bars
    from retroscope.files import refuse_other_report
    from retroscope.inputs.load import collection_of, pair_of
    from retroscope.study import demo
    from retroscope.study.console import console_text
    from retroscope.study.replacing import refuse_foreign_files
    from retroscope.study.run import compare

    refuse_other_report(out, EXPOSURES)
    refuse_foreign_files(out)
    with claimed(out), progress_bars() as progress:
        world, cache = demo.write_demo_world(out / "world"), out / "vectors"
        models = demo.retrain(out / "models", progress) if retrain else demo.shipped()
        load = {"pooling": "mean", "max_length": 64, "similarity": "cosine"}
        chosen = resolve(
            {
                "before": model_values(str(models.backbone), load),
                "after": model_values(str(models.retriever), {}),
                "data": {"source": f"beir:{world}", "split": "test"},
                "negatives": {"how": "run", "run": str(world / NEGATIVES_RUN)},
                **demo.SMALLER,
            },
            None,
            None,
        )
        before, after = pair_of(chosen.before, chosen.after)
        study = compare(before, after, collection_of(chosen.data), chosen, cache=cache, progress=progress)
        rows = demo.exposures(models, world, cache, progress)
    facts = {**study.facts, "title": demo.TITLE, "caveats": [*demo.about(rows), *study.facts["caveats"]]}
    study = replace(study, facts=facts)
    note("statistics, tables and figures ...")
    page = study.report(out, overwrite=True)
    documents.write_text(out / EXPOSURES, documents.as_json(rows))
    emit(study.summary()) if as_json else say(f"{console_text(study.report_contents)}\n\n{demo.exposures_table(rows)}")
    note(f"report: {page}")
