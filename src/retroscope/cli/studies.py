"""Resolve options to settings and carry out the plan of a study, for every command that measures."""

from collections.abc import Mapping, Sequence

from retroscope.cli.options import OutputOptions, ReportOptions, RunOptions, SettingValues
from retroscope.cli.switches import refuse_without_effect


def carry_out_study(
    values: SettingValues,
    left_out: Mapping[str, str],
    options: RunOptions,
    output: OutputOptions | ReportOptions,
    asked: Sequence[str] = (),
) -> None:
    """Resolve the settings of a study, refuse to replace another one, and carry out the plan.

    Args:
        values: dotted name of a setting -> value of its option; None where it was not given. A study of a pair has
            "before", a study of one model has not.
        left_out: analysis, or part of one, that is not measured -> the option that leaves it out, or "".
        asked: analyses that the command is for; if one cannot be measured, that is an error.

    Raises:
        SettingsError: for a setting of what is left out.
    """
    refuse_without_effect(values, options.assignments, left_out)
    from retroscope.cli.plans import plan_study_of_model, plan_study_of_pair
    from retroscope.cli.resolve import resolve
    from retroscope.cli.running import Destination, carry_out
    from retroscope.inputs.cache import default_cache
    from retroscope.study.folder import SETTINGS, WRITTEN
    from retroscope.study.settings import refuse_other_settings

    settings = resolve(values, options.settings, options.assignments, left_out=tuple(left_out))
    if output.out is not None and not (output.overwrite or output.dry_run):
        refuse_other_settings(output.out, settings)
    cache = options.cache or default_cache()
    prepare = plan_study_of_pair if "before" in values else plan_study_of_model
    carry_out(
        lambda: prepare(settings, cache, asked),
        Destination(out=output.out, cache=cache, replaced=WRITTEN, owner=SETTINGS),
        dry_run=output.dry_run,
        as_json=output.as_json,
    )
