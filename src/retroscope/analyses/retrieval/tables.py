"""Tables of retrieval: by measure on every collection, and the queries that changed most."""

import pandas as pd

from retroscope.analyses.retrieval.result import RetrievalEffect, RetrievalResult
from retroscope.number_format import score
from retroscope.typesetting.effect_tables import NUMERIC, effects_by, explained, pair, printed_effects
from retroscope.typesetting.frames import rows
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.subject import AFTER, BEFORE, Subject

FLIPS_PRINTED = 10


def names(result: RetrievalResult) -> tuple[str, ...]:
    """Return the names of the tables of all collections, in order: "retrieval", "retrieval_2" ..."""
    return ("retrieval", *(f"retrieval_{k}" for k in range(2, len(result.by_collection) + 1)))


def retrieval_tables(result: RetrievalResult, subject: Subject) -> dict[str, PaperTable]:
    """Return a table of all measures for each collection, and a table of the most changed queries of the first one."""
    first, *others = names(result)
    tables = {first: measures_table(result, subject)}
    tables |= {
        name: _on_other(on_collection) for name, on_collection in zip(others, result.by_collection[1:], strict=True)
    }
    return {**tables, "flips": flips_table(result, subject)}


def measures_table(result: RetrievalResult, subject: Subject) -> PaperTable:
    """Return a table of every measure on the first collection, before and after."""
    frame = rows(result.effect)
    printed = printed_effects(result.effect, frame)
    printed.insert(0, "measure", frame["measure"])
    printed["gained/tied/lost"] = [f"{r['wins']:.0f}/{r['ties']:.0f}/{r['losses']:.0f}" for _, r in frame.iterrows()]
    note = (
        f"{explained(result.effect)} Gained/tied/lost: queries with a higher, equal and lower score after fine-tuning."
    )
    if subject.trainings > 1:
        note += " Intervals and p-values describe this training run alone."
    return PaperTable(printed, f"Retrieval: {pair(subject)}.", note, (*NUMERIC, "gained/tied/lost"))


def _on_other(on_collection: RetrievalEffect) -> PaperTable:
    return effects_by(
        "measure", on_collection.effect, rows(on_collection.effect), f"Retrieval on {on_collection.collection}"
    )


def flips_table(result: RetrievalResult, subject: Subject) -> PaperTable:
    """Return a table of the queries whose score changed most."""
    changed = result.effect.flips(FLIPS_PRINTED, measure=result.flip_measure)
    printed = pd.DataFrame(
        [
            (result.query_texts.get(flip.query_id, flip.query_id), score(flip.before), score(flip.after))
            for flip in changed
        ],
        columns=["query", BEFORE, AFTER],
    )
    return PaperTable(printed, f"Queries whose {result.flip_measure} changed most: {pair(subject)}.", "", NUMERIC)
