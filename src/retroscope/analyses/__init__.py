"""List the analyses of a study: one subpackage for each, and those that other Python packages add.

`analyses()` returns them in the order of the report.

Another package adds its own by the entry point group `retroscope.analyses`: each entry names an `Analysis`.
"""

from collections.abc import Set
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from retroscope.analyses import (
    baselines,
    erasure,
    groups,
    heads,
    health,
    layers,
    localisation,
    neurons,
    patching,
    probes,
    representations,
    retention,
    retrieval,
    shift,
    training_runs,
    transplants,
    vocabulary,
    weights,
)
from retroscope.analyses.analysis import Analysis
from retroscope.errors import SettingsError

GROUP, RENAME = "retroscope.analyses", "rename the analysis in the package that declares it"
OWN: tuple[Analysis, ...] = (
    health.ANALYSIS,
    retrieval.ANALYSIS,
    shift.ANALYSIS,
    groups.ANALYSIS,
    training_runs.ANALYSIS,
    localisation.ANALYSIS,
    baselines.ANALYSIS,
    layers.ANALYSIS,
    probes.ANALYSIS,
    erasure.ANALYSIS,
    vocabulary.ANALYSIS,
    neurons.ANALYSIS,
    heads.ANALYSIS,
    patching.ANALYSIS,
    weights.ANALYSIS,
    representations.ANALYSIS,
    transplants.ANALYSIS,
    retention.ANALYSIS,
)

# Shared settings stand beside those of each analysis in a settings file, so none of them can name an analysis.
# These are the fields of `StudySettings`, written out since that class takes torch to import; a test compares them.
SHARED_SETTINGS = (
    "before", "after", "trainings", "data", "also", "protocol", "measures", "random_weights", "extraction",
    "negatives", "statistics", "analyses",
)  # fmt: skip


@cache
def analyses() -> dict[str, Analysis]:
    """Return name -> analysis, in the order of the report: Retroscope's own analyses, then those of other packages.

    Raises:
        SettingsError: if another package gives an analysis a name that is taken, or declares something that is no
            `Analysis`.
    """
    known = {analysis.name: analysis for analysis in OWN}
    for entry in entry_points(group=GROUP):
        analysis = _loaded(entry)
        if analysis.name in known:
            raise SettingsError(
                f"the analysis name {analysis.name!r} is already taken by another analysis",
                where=declared_by(entry),
                fix=RENAME,
            )
        known[analysis.name] = analysis
    return known


def refuse_option_names(options: Set[str]) -> None:
    """Raise an error if an analysis of another package has the name of a command-line option.

    Its own option, `--NAME` or `--no-NAME`, would be ambiguous.

    Args:
        options: all options of the commands as they are typed, e.g. "--out" or "--no-random-weights".

    Raises:
        SettingsError: if an analysis has such a name. The error gives its entry point.
    """
    for entry in entry_points(group=GROUP):
        name = _loaded(entry).name
        alike = name.replace("_", "-")
        for option in sorted(options & {f"--{alike}", f"--no-{alike}"}):
            raise SettingsError(
                f"the analysis name {name!r} conflicts with the option {option}", where=declared_by(entry), fix=RENAME
            )


def declared_by(entry: EntryPoint) -> str:
    """Return the declaration of an entry point (name, module and group) as text for an error message."""
    return f"entry point {entry.name} = {entry.value} ({GROUP})"


def _loaded(entry: EntryPoint) -> Analysis:
    """Import the analysis that an entry point of another package names.

    Raises:
        SettingsError: if the entry point names no `Analysis`, or one whose name cannot be used.
    """
    mend = "correct the entry point in the package that declares it, or uninstall that package"
    try:
        analysis = entry.load()
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"the analysis cannot be imported: {error}", where=declared_by(entry), fix=mend) from error
    if not isinstance(analysis, Analysis):
        raise SettingsError(
            f"the entry point names an object of the type {type(analysis).__name__}, not an Analysis",
            where=declared_by(entry),
            fix=mend,
        )
    if not analysis.name.isidentifier():
        raise SettingsError(
            f"the analysis name {analysis.name!r} is not a Python identifier",
            where=declared_by(entry),
            fix="rename the analysis with letters, digits and underscores, e.g. 'my_analysis'",
        )
    if analysis.name in SHARED_SETTINGS:
        raise SettingsError(
            f"the analysis name {analysis.name!r} is already the name of a setting",
            where=declared_by(entry),
            fix=RENAME,
        )
    return analysis


def in_order_of_needs() -> list[str]:
    """Return the names of all analyses, sorted so that each one follows the analyses whose results it needs.

    Raises:
        ValueError: if analyses need the results of one another in a circle.
    """
    known, order = analyses(), list[str]()

    def add(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise ValueError(f"these analyses depend on one another in a circle: {' > '.join((*path, name))}")
        if name in known and name not in order:
            for other in known[name].needs:
                add(other, (*path, name))
            order.append(name)

    for name in known:
        add(name, ())
    return order
