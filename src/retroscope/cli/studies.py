"""Convert the options of a command to the settings of a study, and run the study."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from retroscope.cli.defaults import option
from retroscope.cli.exit_codes import UNSOUND
from retroscope.cli.loading import load_libraries_for
from retroscope.cli.options.run import RunOptions, chosen_engine
from retroscope.cli.options.shared import OutputOptions, ReportOptions, SettingValues
from retroscope.cli.options.sizes import SizeOptions
from retroscope.cli.switches import refuse_without_effect
from retroscope.number_format import estimate

if TYPE_CHECKING:
    from retroscope.cli.running import Outcome, Plan
    from retroscope.inputs.settings import StudySettings
    from retroscope.progress import Progress
    from retroscope.study.reporting.gate import Gate
    from retroscope.study.reporting.report import Report

LATE = 1.2  # times the time budget: a run that takes longer than this prints a note
Gates = Annotated[
    list[str] | None,
    option(
        "--gate",
        help="Condition on the change of a measure, e.g. 'nDCG@10 >= -0.01': exit with status 1 unless the whole "
        "confidence interval of the change meets it; may be repeated",
        metavar="CONDITION",
    ),
]


def carry_out_study(
    values: SettingValues,
    left_out: Mapping[str, str],
    options: RunOptions,
    output: OutputOptions | ReportOptions,
    asked: Sequence[str] = (),
    size: SizeOptions | None = None,
    gates: Sequence["Gate"] = (),
) -> "Outcome | None":
    """Run the study that a command's options describe, and return its results, or None for a dry run.

    Before the run, the settings are checked, and it is checked that the output folder may be replaced.

    Args:
        values: dotted name of a setting -> value of its option, or None if it was not given. "before" is given for a
            study of a pair, not for a study of one model.
        left_out: an analysis, or a part of one, that is not measured -> the option that leaves it out, or "".
        asked: analyses that the command is for. It is an error if one of them cannot be measured.
        size: options of the sample sizes. If None, their defaults.
        gates: conditions on the result. A condition on something that is not measured is refused before the run.

    Raises:
        SettingsError: for a setting of an analysis that is left out, or a gate on something that is not measured.
    """
    size = size or SizeOptions()
    seconds = size.seconds()
    settings = checked_settings(values, left_out, options, asked, size=size, gates=gates)
    from retroscope.cli.resolve import resolved
    from retroscope.cli.running import Destination, carry_out
    from retroscope.inputs.cache import default_cache
    from retroscope.inputs.sources import refuse_source_as_output
    from retroscope.study.folder import SETTINGS, WRITTEN
    from retroscope.study.reporting.gate import refuse_unknown
    from retroscope.study.settings import refuse_other_settings

    sources, off = (values, options.settings, options.assignments), tuple(left_out)
    refuse_source_as_output(settings, output.out)
    there, guarded = kept_folders(output)
    if guarded is not None and seconds is None:
        refuse_other_settings(guarded, settings)
    cache = options.cache or default_cache()
    place = Destination(out=output.out, cache=cache, replaced=WRITTEN, owner=SETTINGS)
    load_libraries_for(place, dry_run=output.dry_run)

    def prepare(progress: "Progress") -> "Plan":
        from retroscope.cli.plans.study import plan_study_of_model, plan_study_of_pair

        planned = plan_study_of_pair if "before" in values else plan_study_of_model
        plan = planned(settings, cache, asked, progress, engine=chosen_engine(options))
        if seconds is not None:
            plan = plan.within(seconds, resolved(*sources, left_out=off).keys(), there, asked)
            if guarded is not None:
                refuse_other_settings(guarded, plan.plan.settings)
        refuse_unknown(gates, settings.measures, [collection.name for collection in plan.plan.collections])
        return plan if there is None else plan.repeated(there)

    with timed(seconds):
        return carry_out(prepare, place, dry_run=output.dry_run, as_json=output.as_json)


def kept_folders(output: OutputOptions | ReportOptions) -> tuple[Path | None, Path | None]:
    """Return the folder whose stored results are reused, and the folder whose study only the same study may replace.

    Both are the output folder. With `--overwrite` both are None. In a dry run, which replaces nothing, the second is
    None.
    """
    there = None if output.overwrite else output.out
    return there, None if output.dry_run else there


@contextmanager
def timed(budget: float | None) -> Iterator[None]:
    """Print a note after a run that took clearly longer than its time budget."""
    start = perf_counter()
    yield
    tell_if_late(perf_counter() - start, budget)


def tell_if_late(taken: float, budget: float | None) -> None:
    """Print a note if a run took clearly longer than its time budget."""
    if budget is not None and taken > LATE * budget:
        from retroscope.cli.terminal import note

        note(
            f"this run took {estimate(taken)}, more than the {estimate(budget)} of --time: "
            "the estimate assumed that no other program is running"
        )


def checked_settings(
    values: SettingValues,
    left_out: Mapping[str, str],
    options: RunOptions,
    asked: Sequence[str],
    *,
    size: SizeOptions,
    gates: Sequence["Gate"],
) -> "StudySettings":
    """Return the settings of a study, merged from options, `--set` and the settings file, after checking them.

    The checks do not import torch. The arguments and errors are those of `carry_out_study`.
    """
    refuse_without_effect(values, options.assignments, left_out)
    from retroscope.cli.resolve import resolve
    from retroscope.inputs.sources import check_sources_and_pooling
    from retroscope.study.planning.depths import depth_values
    from retroscope.study.reporting.gate import refuse_unknown
    from retroscope.study.settings import certain_analyses, refuse_missing_layers

    defaults = {name: {} for name in asked} | depth_values(size.depth or "standard")
    sources = (values, options.settings, options.assignments)
    settings = check_sources_and_pooling(resolve(*sources, left_out=tuple(left_out), unless_given=defaults))
    settings = size.applied(settings, options.assignments or ())
    refuse_missing_layers(settings, certain_analyses(settings))
    refuse_unknown(gates, settings.measures)
    return settings


def judge(report: "Report", gates: Sequence["Gate"]) -> None:
    """Print whether a report meets each condition of `--gate`, and exit with status 1 unless it meets all of them."""
    judge_all({"": report}, gates)


def judge_all(reports: Mapping[str, "Report"], gates: Sequence["Gate"]) -> None:
    """Print whether each report meets each condition of `--gate`, and exit with status 1 unless all conditions are met.

    The lines are printed on standard error.

    Args:
        reports: name of a retriever, with which its lines begin, -> its report. With the name "", lines have no name.
    """
    from retroscope.cli.terminal import note
    from retroscope.study.reporting.gate import outcome_of_gate

    gates_hold = []
    for name, report in reports.items():
        subject = report.subject
        estimates = [effect for section in report.sections.values() for effect in section.estimates]
        doubts = [f"{model.name} failed a self-test" for model in subject.models.values() if model.failed_tests]
        outcomes = [outcome_of_gate(gate, estimates, subject.collection.name, doubts) for gate in gates]
        for outcome in outcomes:
            note(f"{name}: {outcome.text}" if name else outcome.text)
        gates_hold += [outcome.holds for outcome in outcomes]
    if not all(gates_hold):
        raise typer.Exit(UNSOUND)
