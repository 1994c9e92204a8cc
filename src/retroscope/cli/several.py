"""Compare one backbone with several retrievers: run one study for each retriever."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from retroscope.cli.loading import load_libraries_for
from retroscope.cli.options.run import RunOptions, chosen_engine
from retroscope.cli.options.shared import ReportOptions, SettingValues
from retroscope.cli.options.sizes import SizeOptions
from retroscope.cli.studies import checked_settings, kept_folders

if TYPE_CHECKING:
    from retroscope.cli.running import Outcome, Plan
    from retroscope.inputs.settings import StudySettings
    from retroscope.progress import Progress
    from retroscope.study.reporting.gate import Gate


def carry_out_set(
    values: Sequence[SettingValues],
    left_out: Mapping[str, str],
    options: RunOptions,
    output: ReportOptions,
    asked: Sequence[str] = (),
    *,
    size: SizeOptions,
    gates: Sequence["Gate"] = (),
) -> "Outcome | None":
    """Run one study for each retriever of a backbone, and return the results, or None for a dry run.

    The arguments are those of `carry_out_study`, except that `values` has one entry for each retriever.

    Raises:
        SettingsError: if two retrievers have the same name, and for the reasons of `carry_out_study`.
    """
    seconds = size.seconds()
    wanted = [checked_settings(own_values, left_out, options, asked, size=size, gates=gates) for own_values in values]
    from retroscope.cli.resolve import resolved
    from retroscope.cli.running import Destination, carry_out
    from retroscope.inputs.cache import default_cache
    from retroscope.inputs.sources import refuse_source_as_output
    from retroscope.study.folder import SET
    from retroscope.study.reporting.gate import refuse_unknown
    from retroscope.study.several.names import check_distinct, name_of

    names = [name_of(study.after) for study in wanted if study.after is not None]
    places = check_distinct(names)
    there, guarded = kept_folders(output)
    for study in wanted:
        refuse_source_as_output(study, output.out)
    if guarded is not None and seconds is None:
        _refuse_others(guarded, places, wanted)
    given_names = resolved(values[0], options.settings, options.assignments, left_out=tuple(left_out)).keys()
    cache = options.cache or default_cache()
    place = Destination(out=output.out, cache=cache, replaced=(), owner=SET, parts=tuple(places))
    load_libraries_for(place, dry_run=output.dry_run)

    def prepare(progress: "Progress") -> "Plan":
        from retroscope.cli.plans.study import planner_of_set
        from retroscope.study.several.plan import plan_set, sized_settings

        make = planner_of_set(wanted[0], cache, asked, engine=chosen_engine(options))
        begun = [] if there is None else [there / place for place in places]
        settings, notes = sized_settings(wanted, make, progress, seconds, given_names, begun=begun)
        if seconds is not None and guarded is not None:
            _refuse_others(guarded, places, settings)
        plan = plan_set(names, settings, make, progress, out=output.out, again=output.overwrite, notes=notes)
        refuse_unknown(gates, wanted[0].measures, plan.collections)
        return plan

    return carry_out(prepare, place, dry_run=output.dry_run, as_json=output.as_json)


def _refuse_others(out: Path, places: Sequence[str], settings: Sequence["StudySettings"]) -> None:
    """Raise an error if a retriever's stored study, which would be replaced, has other settings than its new study."""
    from retroscope.study.settings import refuse_other_settings

    for place, own in zip(places, settings, strict=True):
        refuse_other_settings(out / place, own)
