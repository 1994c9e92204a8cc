"""What a study asks: one folder a question. `ANALYSES` lists them in reading order.

Another package adds its own by the entry point group `retroscope.analyses`: each entry names an `Analysis`.
"""

from functools import cache
from importlib.metadata import entry_points

from retroscope.analyses import (
    baselines,
    health,
    layers,
    localisation,
    neurons,
    probes,
    representations,
    retrieval,
    training_runs,
    transplants,
    weights,
)
from retroscope.analyses.analysis import Analysis
from retroscope.errors import SettingsError

GROUP = "retroscope.analyses"
OWN: tuple[Analysis, ...] = (
    health.ANALYSIS,
    retrieval.ANALYSIS,
    training_runs.ANALYSIS,
    localisation.ANALYSIS,
    baselines.ANALYSIS,
    layers.ANALYSIS,
    probes.ANALYSIS,
    neurons.ANALYSIS,
    weights.ANALYSIS,
    representations.ANALYSIS,
    transplants.ANALYSIS,
)


@cache
def analyses() -> dict[str, Analysis]:
    """Return every analysis by name, in reading order: our own, then those of other packages.

    Raises:
        SettingsError: if another package gives an analysis a name that is taken, or something else than an `Analysis`.
    """
    known = {one.name: one for one in OWN}
    for entry in entry_points(group=GROUP):
        one = entry.load()
        if not isinstance(one, Analysis):
            raise SettingsError(
                f"the entry point {entry.value!r} is {type(one).__name__}, not an Analysis",
                where=entry.name,
                fix="mend or remove the package that declares it",
            )
        if not one.name.isidentifier():
            raise SettingsError(
                f"{one.name!r} cannot name an analysis", where=entry.value, fix="use letters and _ only"
            )
        if one.name in known:
            raise SettingsError(f"two analyses are called {one.name!r}", where=entry.value, fix="rename one of them")
        known[one.name] = one
    return known
