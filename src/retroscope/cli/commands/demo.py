"""`retroscope demo`: compare the two small models that come with Retroscope."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from retroscope.cli.defaults import option
from retroscope.cli.groups import flat
from retroscope.cli.loading import load_libraries
from retroscope.cli.options import shared as o
from retroscope.cli.values import model_values

if TYPE_CHECKING:
    from retroscope.inputs.settings import StudySettings
    from retroscope.progress import Progress
    from retroscope.study.demo import Shipped
    from retroscope.study.planning.plan import StudyPlan
    from retroscope.study.study import Study

EXAMPLE = "retroscope demo"
OUT, EXPOSURES = Path("runs/demo"), "exposures.json"


@flat()
def run(
    out: Annotated[
        Path, option("--out", help="Folder to write the study and its report to", metavar="DIR", default=str(OUT))
    ] = OUT,
    retrain: Annotated[
        bool, option("--retrain", help="Train the demo's models again before comparing them, in subfolders of --out")
    ] = False,
    as_json: o.Json = False,
) -> None:
    """Compare the two small models that come with Retroscope.

    The two models were trained on texts about invented people, so it is known which facts each model has seen. The
    demo runs every analysis of `compare` in one to two minutes, without a network.
    """
    load_libraries()
    from retroscope.cli.terminal import claimed, emit, note, say
    from retroscope.display import progress_bars
    from retroscope.files.documents import as_json as in_json
    from retroscope.files.documents import write_text
    from retroscope.files.whole import refuse_other_report
    from retroscope.inputs.load import collection_of, pair_of
    from retroscope.study import demo
    from retroscope.study.overwriting import refuse_foreign_files
    from retroscope.study.planning.plan import plan_study
    from retroscope.study.reporting.console import console_text
    from retroscope.study.run import forget
    from retroscope.typesetting.subject import AFTER, BEFORE

    refuse_other_report(out, EXPOSURES)
    refuse_foreign_files(out)
    with claimed(out), progress_bars() as progress:
        world, cache = demo.write_demo_world(out / "world"), out / "vectors"
        models = demo.retrain(out / "models", progress) if retrain else demo.shipped()
        settings = _settings(models, world)
        before, after = pair_of(settings.before, settings.after)
        pair, texts = {BEFORE: before, AFTER: after}, [collection_of(settings.data)]
        plan = plan_study(pair, texts, settings, cache=cache, progress=progress)
        study = _measured(plan, progress)
        rows = demo.exposures(models, world, cache, progress)
        caveats = [*demo.demo_caveats(rows), *study.facts["caveats"]]
        study = replace(study, facts={**study.facts, "title": demo.TITLE, "caveats": caveats})
        note("statistics, tables and figures ...")
        page = study.report(out, overwrite=True)
        write_text(out / EXPOSURES, in_json([asdict(row) for row in rows]))
        forget(plan)
    text = console_text(study.report_contents, folder=out)
    emit(study.summary()) if as_json else say(f"{text}\n\n{demo.exposures_table(rows)}")
    note(f"report: {page}")


def _measured(plan: "StudyPlan", progress: "Progress") -> "Study":
    """Run the study, print the first conclusion of every analysis as soon as it is known, and return the study."""
    from retroscope.cli.terminal import note
    from retroscope.study.outcome import Runnable

    for outcome in Runnable(plan).run(progress):
        if not outcome.is_final and (news := outcome.news()):
            note(news)
    return outcome.study


def _settings(models: "Shipped", world: Path) -> "StudySettings":
    from retroscope.cli.resolve import resolve
    from retroscope.collection.world.files import NEGATIVES_RUN
    from retroscope.study.demo import SMALLER

    load = {"pooling": "mean", "max_length": 64, "similarity": "cosine"}
    values = {
        "before": model_values(str(models.backbone), load),
        "after": model_values(str(models.retriever), {}),
        "data": {"source": f"beir:{world}", "split": "test"},
        "negatives": {"how": "run", "run": str(world / NEGATIVES_RUN)},
        **SMALLER,
    }
    return resolve(values, None, None)
