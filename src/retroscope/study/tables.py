"""Tables: every number as parquet and CSV, the ones a paper prints as LaTeX too."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from retroscope.analyses.baselines.figures import baseline_tables
from retroscope.analyses.layers.bare import bare_tables
from retroscope.analyses.localisation.words import story_tables
from retroscope.analyses.neurons.result import NeuronFindings
from retroscope.analyses.neurons.tables import LARGE_NEURON_TABLES, NEURON_PAPER_TABLES, NEURON_TABLES
from retroscope.analyses.probes.selectivity import selectivity
from retroscope.analyses.representations.figures import elsewhere_tables
from retroscope.analyses.trainings.words import training_frames, training_tables
from retroscope.analyses.transplants.figures import transplant_tables
from retroscope.analyses.weights.figures import weight_tables
from retroscope.statistics import Difference
from retroscope.study.findings import SEED_COLUMNS, Findings
from retroscope.study.paper_tables import PAPER_TABLES
from retroscope.study.verdict import verdict
from retroscope.typesetting.frames import rows
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.subject import AFTER, BEFORE
from retroscope.typesetting.tables import joined, write_frames

Frames = dict[str, pd.DataFrame]


def write_tables(findings: Findings, folder: Path) -> list[Path]:
    """Write `TABLES` as parquet and CSV and `PAPER_TABLES` as LaTeX; the folder is replaced as a whole.

    Tables without rows are left out.
    """
    frames = {name: make(findings) for name, make in TABLES.items()} | moved_frames(findings) | part_frames(findings)
    large: Frames = {}
    for prefix, found in _by_tower(findings):
        small, big = neuron_frames(found)
        frames |= {f"{prefix}{name}": frame for name, frame in small.items()}
        large |= {f"{prefix}{name}": frame for name, frame in big.items()}
    return write_frames(frames, paper_tables(findings), folder, large)


def _by_tower(findings: Findings) -> list[tuple[str, NeuronFindings]]:
    """What goes before the names of tables of neurons, and the neurons."""
    both = (("", findings.neurons), ("query_", findings.query_neurons))
    return [(prefix, found) for prefix, found in both if found is not None]


def write_neuron_tables(findings: NeuronFindings, folder: Path) -> list[Path]:
    """The same of neurons alone."""
    small, large = neuron_frames(findings)
    return write_frames(small, neuron_papers(findings), folder, large)


def paper_tables(findings: Findings) -> dict[str, PaperTable]:
    """Every table that a paper prints."""
    found = [{name: make(findings) for name, make in PAPER_TABLES.items()}, baseline_tables(findings)]
    if findings.moved is not None:
        apart = len(findings.moved.weights) > 1
        found += [weight_tables(f, tower if apart else "") for tower, f in findings.moved.weights.items()]
    found += [bare_tables(findings), training_tables(findings)]
    if findings.transplants is not None:
        found.append(transplant_tables(findings.transplants))
    if findings.story is not None:
        found.append(story_tables(findings.story))
    if findings.elsewhere is not None:
        found.append(elsewhere_tables(findings))
    for prefix, neurons in _by_tower(findings):
        found.append({f"{prefix}{name}": table for name, table in neuron_papers(neurons).items()})
    return joined(found)


def moved_frames(findings: Findings) -> Frames:
    """What moved: weights by tensor and by group, similarity and geometry by layer, every layer against every other."""
    moved = findings.moved
    if moved is None:
        return {}
    weights = {
        name: pd.concat([getattr(f, part).assign(tower=tower) for tower, f in moved.weights.items()])
        for name, part in (("weights", "tensors"), ("weights_by_layer", "groups"))
    }
    return {**weights, "similarity": moved.similarity, "geometry": moved.shape, "layer_map": moved.cross}


def part_frames(findings: Findings) -> Frames:
    """Every transplant, and what the instruments say of the same parts."""
    frames = training_frames(findings)
    if findings.transplants is not None:
        frames |= {"transplants": findings.transplants.table()}
    if (already := findings.baselines) is not None:
        frames |= {
            "baselines": already.variants,
            "baseline_gains": rows(already.left),
            "baseline_shares": already.shares,
        }
        frames |= {"baseline_choices": already.choices, "baselines_alike": rows(already.alike)}
    if findings.elsewhere is not None:
        moved = findings.elsewhere.moved
        frames |= {"elsewhere": rows(findings.elsewhere.retrieval), "elsewhere_similarity": moved.similarity}
        frames |= {"elsewhere_geometry": moved.shape}
    if findings.story is None:
        return frames
    story = findings.story
    return frames | {"story": story.evidence, "story_most": story.most, "story_claims": story.claims}


def neuron_papers(findings: NeuronFindings) -> dict[str, PaperTable]:
    """Those of neurons; their captions name the tower where there are two."""
    lead = f"{findings.tower.capitalize()} tower. " if findings.tower else ""
    made = {name: make(findings) for name, make in NEURON_PAPER_TABLES.items()}
    return {name: replace(table, caption=f"{lead}{table.caption}") for name, table in made.items()}


def neuron_frames(findings: NeuronFindings) -> tuple[Frames, Frames]:
    """Tables of neurons, and those that are written as parquet only."""
    small, large = (
        {name: make(findings) for name, make in tables.items()} for tables in (NEURON_TABLES, LARGE_NEURON_TABLES)
    )
    return small, large


def retrieval_table(findings: Findings) -> pd.DataFrame:
    """One row per measure."""
    return rows(findings.retrieval)


def layer_table(findings: Findings) -> pd.DataFrame:
    """One row per layer and measure."""
    return _labelled(findings, findings.layer_retrieval)


def probing_table(findings: Findings) -> pd.DataFrame:
    """One row per probe, control, number of passages and layer."""
    return _labelled(findings, findings.probing)


def selectivity_table(findings: Findings) -> pd.DataFrame:
    """One row per side, probe, number of passages and layer: accuracy - shuffled-query accuracy."""
    return selectivity(findings).copy()


def seed_table(findings: Findings) -> pd.DataFrame:
    """The spread over seeds."""
    if findings.seed_spread is None:
        return pd.DataFrame(columns=list(SEED_COLUMNS))
    return findings.seed_spread[list(SEED_COLUMNS)].copy()


def flips_table(findings: Findings) -> pd.DataFrame:
    """One row per query that changed, biggest change first, with its text."""
    flips = findings.retrieval.flips(measure=findings.flip_measure)
    found = [(f.query_id, findings.query_texts.get(f.query_id, ""), f.before, f.after, f.change) for f in flips]
    return pd.DataFrame(found, columns=["query_id", "query", "before", "after", "change"])


def self_test_table(findings: Findings) -> pd.DataFrame:
    """One row per self-test of every tower."""
    found = [
        (side, findings.side(side).name, tower.role, t.name, t.passed, t.value, t.tolerance, t.detail)
        for side in (BEFORE, AFTER)
        for tower in findings.side(side).towers
        for t in tower.self_tests
    ]
    return pd.DataFrame(found, columns=["side", "model", "tower", "test", "passed", "value", "tolerance", "detail"])


def verdict_table(findings: Findings) -> pd.DataFrame:
    """One row per statement of the verdict, in reading order; what is not confirmed last."""
    said = verdict(findings)
    found = [(s.topic, s.tone, s.text, "; ".join(s.doubts)) for s in (*said.everything(), *said.unconfirmed)]
    return pd.DataFrame(found, columns=["topic", "tone", "text", "doubts"])


def _labelled(findings: Findings, difference: Difference | None) -> pd.DataFrame:
    if difference is None:
        return pd.DataFrame()
    frame = rows(difference)
    place = list(frame.columns).index("layer") + 1
    frame.insert(place, "layer_name", [findings.layer_label(int(k)) for k in frame["layer"]])
    return frame


TABLES: dict[str, Callable[[Findings], pd.DataFrame]] = {
    "retrieval": retrieval_table,
    "layer_retrieval": layer_table,
    "probing": probing_table,
    "selectivity": selectivity_table,
    "seed_spread": seed_table,
    "flips": flips_table,
    "self_tests": self_test_table,
    "verdict": verdict_table,
}
