"""Compute retrieval measures for each query, by their names in ir-measures (such as "nDCG@10")."""

from collections.abc import Sequence
from subprocess import CalledProcessError

import ir_measures
import numpy as np
import xarray as xr

from retroscope.collection.records import Run
from retroscope.errors import SettingsError, did_you_mean, excerpt, listed

DEFAULT_MEASURES = ("nDCG@10", "RR@10", "R@10", "R@100")

# Measures with a cut-off k that depend on the first k passages of a ranking alone.
OF_FIRST = ("nDCG", "RR", "R", "P", "AP", "Success", "Judged")

LONGEST_NAME = 200  # characters of a measure's name
DEEPEST = 10_000_000  # rank that a measure may look at

# What people type most; any other name that ir-measures knows is accepted too.
FAMILIAR = ("nDCG@10", "RR@10", "RR", "R@10", "R@100", "R@1000", "P@1", "P@10", "AP", "Success@1", "Success@10")


def parse_measure(name: str) -> ir_measures.Measure:
    """Return the ir-measures object of a measure's name, e.g. of "nDCG@10".

    Raises:
        SettingsError: for a name that ir-measures does not know or cannot compute.
    """
    if len(name) > LONGEST_NAME:
        raise SettingsError(f"unknown measure {excerpt(name)}", fix=did_you_mean("", FAMILIAR))
    if name != name.strip():  # its parser ignores spaces at the end, but tables and files have the name as given
        raise SettingsError(f"unknown measure {name!r}, with a space", fix=did_you_mean(name, FAMILIAR))
    try:
        measure = ir_measures.parse_measure(name)
    except Exception as error:  # whatever its parser makes of a name
        raise SettingsError(f"unknown measure {name!r}", fix=did_you_mean(name, FAMILIAR)) from error
    cutoff = measure.params.get("cutoff", 1)
    if not 1 <= cutoff <= DEEPEST:
        raise SettingsError(
            f"the cut-off {cutoff} of the measure {name!r} is not possible",
            fix=f"give a cut-off from 1 to {DEEPEST:,}, e.g. nDCG@10",
        )
    if not _is_computed(measure):
        raise SettingsError(f"no installed package computes the measure {name!r}", fix=did_you_mean(name, FAMILIAR))
    return measure


def check_distinct_measures(names: Sequence[str]) -> None:
    """Refuse unknown measures, and two names of one measure (such as "RR@10" and "MRR@10").

    Raises:
        SettingsError: if there are such names. It lists them.
    """
    known: dict[ir_measures.Measure, str] = {}
    for name in names:
        measure = parse_measure(name)
        if measure in known:
            raise SettingsError(
                f"{known[measure]!r} and {name!r} are names of the same measure", fix="name each measure once"
            )
        known[measure] = name


def _is_computed(measure: ir_measures.Measure) -> bool:
    try:
        return any(p.is_available() and p.supports(measure) for p in ir_measures.DefaultPipeline.providers)
    except AssertionError:  # what ir-measures raises for a measure that lacks a parameter
        return False


def check_computed(names: Sequence[str], qrels: dict[str, dict[str, int]]) -> None:
    """Refuse measures that cannot be computed from these judgments.

    Each measure is tried on a run of the judged passages.

    For example, gdeval (ERR, nDCG with exponential gains) accepts only query ids that are numbers, and grades up to 4.

    Raises:
        SettingsError: if there are such measures. It lists them.
    """
    run = {query: [(passage, -float(k)) for k, passage in enumerate(judged)] for query, judged in qrels.items()}
    failing = []
    for name in names:
        try:
            measure_queries(run, qrels, [name])
        except (CalledProcessError, ValueError, RuntimeError, LookupError, TypeError, ArithmeticError) as error:
            failing.append(f"{name}: {type(error).__name__}")
    if failing:
        raise SettingsError(
            f"these measures cannot be computed with the judgments of the collection:{listed(failing)}",
            fix="choose other measures; ERR and exponential gains need query ids that are numbers, and grades up to 4",
        )


def depth(names: Sequence[str], least: int = 100) -> int:
    """Return how many passages must be ranked for each query to compute these measures.

    Args:
        least: number for a measure without a cut-off, e.g. "AP".
    """
    cutoffs = [parse_measure(name).params.get("cutoff") for name in names]
    return max([least if cut is None else int(cut) for cut in cutoffs] + [10])


def depth_caveats(names: Sequence[str], passages: int, searched: str = "corpus") -> list[str]:
    """Return warnings about measures without a cut-off, and about those whose cut-off reaches the number of passages.

    Args:
        names: names of the measures.
        passages: number of passages that are searched.
        searched: "corpus", or a word for the part of it that is searched, e.g. "sample".
    """
    cutoffs = {name: parse_measure(name).params.get("cutoff") for name in names}
    beyond = [
        f"{name} uses the first {cut:,} passages of a ranking, but the {searched} has only {passages:,}, so all of "
        "them are retrieved and a recall is 1 for every retriever; use a smaller cut-off"
        for name, cut in cutoffs.items()
        if cut is not None and cut >= passages
    ]
    open_ended = [name for name in names if parse_measure(name).params.get("cutoff") is None]
    return [*beyond, *(f"{name} is computed on the first {depth(names)} passages of a ranking" for name in open_ended)]


def measure_queries(run: Run, qrels: dict[str, dict[str, int]], names: Sequence[str]) -> xr.DataArray:
    """Return the value of each measure for each judged query, with the dimensions (query, measure).

    A ranking must name each passage once. Passages are ranked in the order of the run, whatever their scores.
    Otherwise, the libraries that compute the measures would break ties differently: ir-measures breaks them as
    trec_eval does, but ranks the smaller id first for RR@k, which it computes itself. A query without results has the
    value 0. A query without a relevant passage has the value that each measure defines for it: 0, except for the share
    of judged passages (Judged@k).

    Raises:
        SettingsError: for unknown measures, and for two names of one measure.
    """
    check_distinct_measures(names)
    measures = {parse_measure(name): name for name in names}
    query_ids = list(qrels)
    readable = {q: _readable(qrels[q]) for q in query_ids}
    place = {q: i for i, q in enumerate(query_ids)}
    values = np.zeros((len(query_ids), len(measures)))
    for cutoff, columns in _by_cutoff(list(measures)).items():
        hits = {q: run[q][:cutoff] for q in query_ids if run.get(q)}
        ranked = {q: {hit[0]: float(len(best) - i) for i, hit in enumerate(best)} for q, best in hits.items()}
        for metric in ir_measures.iter_calc(list(columns), readable, ranked):
            values[place[metric.query_id], columns[metric.measure]] = metric.value
    return xr.DataArray(
        values, dims=("query", "measure"), coords={"query": query_ids, "measure": list(measures.values())}
    )


def _by_cutoff(measures: Sequence[ir_measures.Measure]) -> dict[int | None, dict[ir_measures.Measure, int]]:
    """Group measures by how many passages of a ranking they need (None: all), and map each to its index in `measures`.

    A shorter ranking gives the same values in less time. Of a ranking that ends at rank k, RR is the RR@k of the whole
    ranking. trec_eval computes it, whereas ir-measures sorts every ranking in Python for RR@k.
    """
    groups: dict[int | None, dict[ir_measures.Measure, int]] = {}
    for column, measure in enumerate(measures):
        cutoff = measure.params.get("cutoff")
        if measure.NAME not in OF_FIRST or measure.params.get("judged_only"):
            groups.setdefault(None, {})[measure] = column
        elif measure.NAME == "RR" and cutoff is not None and measure.params.get("rel", 1) > 0:  # as trec_eval demands
            other = {name: value for name, value in measure.params.items() if name != "cutoff"}
            groups.setdefault(cutoff, {})[ir_measures.RR(**other)] = column
        else:
            groups.setdefault(cutoff, {})[measure] = column
    return groups


def _readable(grades: dict[str, int]) -> dict[str, int]:
    """Return the grades of a query in a form that does not crash trec_eval: if all are below -1, they become -1.

    trec_eval ends the process if all grades of a query are below -1. A grade of -1 is equally irrelevant in every
    measure.
    """
    return dict.fromkeys(grades, -1) if grades and max(grades.values()) < -1 else grades
