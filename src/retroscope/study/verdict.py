"""The verdict in words: what changed, how sure that is, and whether the instrument can be trusted.

Rules, each tested:
- a difference is claimed only when its corrected p is below alpha; two are called equivalent only
  when the equivalence test says so; anything else is "no evidence", never "no difference";
- controls and self-tests that failed come first, and every conclusion that rests on them is marked;
- what neurons say stands in the verdict only where nothing speaks against them: a count without an
  ablation is not evidence. The rest is counted there, and told in the section on neurons.
"""

from dataclasses import dataclass

from retroscope.analyses.baselines.words import baseline_statements
from retroscope.analyses.layers.bare import bare_words, with_norm
from retroscope.analyses.localisation.words import PROBES, story_statements
from retroscope.analyses.neurons.words import neuron_statements
from retroscope.analyses.probes.controls import control_statements
from retroscope.analyses.probes.words import own_question, passage_only
from retroscope.analyses.representations.words import moved_statements
from retroscope.analyses.trainings.words import OF_THIS, training_statements
from retroscope.study.findings import Findings
from retroscope.typesetting.frames import alpha, rows
from retroscope.typesetting.numbers import count, score
from retroscope.typesetting.statements import ALARM, CAUTION, CHANGED, NOTE, Statement, seen_above, with_self_tests
from retroscope.typesetting.subject import AFTER, BEFORE
from retroscope.typesetting.words import best, effect_tests, effect_words, layer, limits, queries


@dataclass(frozen=True)
class Verdict:
    """What a comparison says: the `headline` on retrieval, the `alarms`, then every other statement in order.

    `unconfirmed` is what neurons would say that are noise, or that no ablation confirms.
    """

    headline: Statement
    alarms: tuple[Statement, ...]
    statements: tuple[Statement, ...]
    unconfirmed: tuple[Statement, ...] = ()

    def everything(self) -> tuple[Statement, ...]:
        """In reading order: alarms, headline, the rest."""
        return (*self.alarms, self.headline, *self.statements)


def verdict(findings: Findings) -> Verdict:
    """The verdict of a comparison."""
    controls = [with_self_tests(s, findings) for s in control_statements(findings)]
    broken = [s for s in controls if s.tone == ALARM]
    doubts = seen_above(broken)
    probing = [s.doubted(*doubts) for s in (*own_question(findings), *passage_only(findings))]
    moved = moved_statements(findings)
    calmly = [s for s in moved if s.tone != ALARM]
    story = [s.doubted(*doubts) if PROBES in s.instruments else s for s in story_statements(findings.story)]
    already = baseline_statements(findings)
    beside = [s for s in already if s.tone != ALARM]
    first = (*training_statements(findings), *story, *other_measures(findings), *beside, *calmly)
    rest = [with_self_tests(s, findings) for s in (*first, *probing, *layers(findings))]
    said = [s for found in findings.neurons_by_tower for s in neuron_statements(found)]
    neurons, unconfirmed = ([with_self_tests(s, findings) for s in said if bool(s.doubts) == d] for d in (False, True))
    warnings = carried_warnings(findings)
    calm = [s for s in (*neurons, *_elsewhere(unconfirmed), *controls, *warnings) if s.tone != ALARM]
    loud = [s for s in (*already, *moved, *neurons, *warnings) if s.tone == ALARM]
    return Verdict(
        headline=with_self_tests(retrieval(findings), findings),
        alarms=(*broken, *self_tests(findings), *loud),
        statements=(*rest, *calm),
        unconfirmed=tuple(unconfirmed),
    )


def _elsewhere(unconfirmed: list[Statement]) -> list[Statement]:
    """Where the statements are that are not in the verdict, and why."""
    if not unconfirmed:
        return []
    text = (
        f"{count(len(unconfirmed), 'more statement')} about neurons rest on neurons that are noise, incomplete or not "
        "confirmed by an ablation: see the section Neurons of the report, or tables/verdict.csv."
    )
    return [Statement("neurons", NOTE, text, ())]


def retrieval(findings: Findings) -> Statement:
    """Did retrieval change, by the primary measure?"""
    table = rows(findings.retrieval, measure=findings.primary_measure)
    if table.empty:
        text = f"{findings.primary_measure} was not measured on both sides: nothing is known about retrieval."
        return Statement("retrieval", CAUTION, text)
    row = table.iloc[0]
    text, tone = effect_words(findings.retrieval, row, findings.primary_measure)
    tally = f"{row['wins']:,.0f} gained, {row['ties']:,.0f} tied, {row['losses']:,.0f} lost"
    alone = "" if findings.trainings is None else OF_THIS
    return Statement("retrieval", tone, f"{text} Of {queries(findings.retrieval, int(row['n']))}, {tally}.{alone}")


def other_measures(findings: Findings) -> list[Statement]:
    """Every other measure with a significant change, corrected among themselves."""
    table = rows(findings.retrieval)
    others = table[table["measure"] != findings.primary_measure]
    changed = others[others["p_corrected"] < alpha(findings.retrieval)]
    if changed.empty:
        return []
    parts = [
        f"{row['measure']} from {score(row[BEFORE])} to {score(row[AFTER])} ({effect_tests(findings.retrieval, row)}; "
        f"{row['wins']:,.0f} gained, {row['losses']:,.0f} lost)"
        for _, row in changed.iterrows()
    ]
    text = f"Of {count(len(others), 'other measure')}, {len(changed)} changed: {'; '.join(parts)}."
    return [Statement("retrieval", CHANGED, text)]


def layers(findings: Findings) -> list[Statement]:
    """Which layer retrieves best, before and after?"""
    if findings.layer_retrieval is None:
        return []
    table = rows(findings.layer_retrieval, measure=findings.primary_measure)
    if table.empty:
        return []
    tops = {side: best(table, side) for side in (BEFORE, AFTER)}
    parts = [f"{layer(findings, row)} {side} ({score(row[side])} {limits(row, side)})" for side, row in tops.items()]
    changed = table[table["p_corrected"] < alpha(findings.layer_retrieval)]
    gains = int((changed["effect"] > 0).sum())
    text = (
        f"Searching with one layer's vectors ({findings.primary_measure}){with_norm(findings)}, the best is {parts[0]} "
        f"and {parts[1]}. "
        f"Of {count(len(table), 'layer')}, {gains} gain and {len(changed) - gains} lose.{bare_words(findings)}"
    )
    return [Statement("layers", NOTE, text)]


def self_tests(findings: Findings) -> list[Statement]:
    """An alarm for each side with failed self-tests."""
    return [
        Statement(
            "self-tests",
            ALARM,
            f"SELF-TEST FAILED on the {side} side ({findings.side(side).name}): "
            f"{'; '.join(findings.side(side).failed_tests)}. Every conclusion that rests on this side is marked.",
            (side,),
        )
        for side in (BEFORE, AFTER)
        if findings.side(side).failed_tests
    ]


def carried_warnings(findings: Findings) -> list[Statement]:
    """The warnings of the measurements, once each: an alarm where the scores bring it, else a caution."""
    found: dict[str, str] = {}
    others = findings.transplants.differences.values() if findings.transplants else ()
    elsewhere = findings.elsewhere.retrieval if findings.elsewhere else None
    for difference in (findings.retrieval, findings.layer_retrieval, findings.probing, elsewhere, *others):
        if difference is None:
            continue
        sides = ((BEFORE, difference.before), (AFTER, difference.after))
        carried = {f"{side}: {w}" for side, scores in sides for w in scores.warnings}
        found.update({f"{difference.name}: {w}": ALARM if w in carried else CAUTION for w in difference.warnings})
    return [Statement("warnings", tone, f"Warning of {text}", ()) for text, tone in found.items()]
