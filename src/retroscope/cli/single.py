"""What `retrieve` and `probe` share: one model, one collection, one document."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from retroscope.cli.terminal import claimed, emit, note, progress_bars, say
from retroscope.inputs.cache import default_cache
from retroscope.inputs.load import check_ids, collection_of, retriever_of
from retroscope.study.measure import Measured
from retroscope.study.plan import describe, plan_run
from retroscope.study.settings import StudySettings
from retroscope.study.single import save_single

Document = Mapping[str, Any]


def run_single(
    analyse: Callable[..., tuple[Measured, Document]],
    as_text: Callable[[Document], str],
    chosen: StudySettings,
    out: Path | None,
    cache: Path | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Load, plan, analyse, save, say."""
    home = cache or default_cache()
    collection, retriever = collection_of(chosen.data), retriever_of(chosen.after)
    if out:
        check_ids(collection)
    plan = plan_run({"model": retriever}, collection, chosen, home)
    if dry_run:
        emit(plan) if as_json else say(describe(plan))
        return
    note(describe(plan))
    with claimed(home, *([out] if out else [])), progress_bars() as progress:
        measured, document = analyse(retriever, collection, chosen, home, progress)
    if out:
        save_single(measured, out)
    emit(document) if as_json else say(as_text(document))
