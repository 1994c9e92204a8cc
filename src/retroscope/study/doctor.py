"""Run `retroscope doctor`: checks of one model, or of a backbone and its retriever, without data."""

import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace

import torch

from retroscope.documents import SCHEMA, clean
from retroscope.drift.weights import incomparable
from retroscope.encoders.checkpoints.folders import locate
from retroscope.encoders.checks.findings import (
    ERROR,
    NOTE,
    PASSED,
    SEVERITIES,
    WARNING,
    Finding,
    Origin,
    encoder_findings,
)
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.errors import EncoderError, UnknownPoolingError
from retroscope.inputs.load import retriever_of
from retroscope.inputs.pairing import compared_like, recipe_differences, same_tokens
from retroscope.inputs.settings import ModelSettings
from retroscope.inputs.unrelated_texts import unrelated_texts
from retroscope.typesetting.documents import Record

WIDTH = 100
TRIED, UNKNOWN = "mean", "unknown"  # pooling, where nobody says it


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """The findings of all checks.

    Attributes:
        models: role ("model", or "before" and "after") -> retriever; those that could not be loaded are missing, and
            one whose pooling nobody says has "unknown" in its recipe.
        findings: (of whom, finding), worst first within each; of whom: a role, a role with its tower, or "pair".
    """

    models: Mapping[str, Retriever]
    findings: tuple[tuple[str, Finding], ...]

    @property
    def sound(self) -> bool:
        """Return whether no finding is an error."""
        return all(finding.severity != ERROR for _, finding in self.findings)


def diagnose(models: Mapping[str, ModelSettings]) -> Diagnosis:
    """Check every model, and the pair if there are two.

    Args:
        models: role -> what to load; the roles "before" and "after" are a pair.

    Raises:
        EncoderError: for a path or hub name that leads nowhere; whatever else is wrong with a checkpoint is a finding.
    """
    for settings in models.values():
        for source in _sources(settings):
            locate(source, settings.load.revision)
    loaded: dict[str, Retriever] = {}
    findings: list[tuple[str, Finding]] = []
    for role, settings in models.items():
        retriever, found = _look_over(role, settings)
        findings += found
        if retriever is not None:
            loaded[role] = retriever
    if {"before", "after"} <= loaded.keys():
        loaded["before"] = compared_like(loaded["before"], loaded["after"])  # as compare does
        of_pair = [f for check in PAIR_CHECKS for f in check(loaded["before"], loaded["after"])]
        findings += [("pair", finding) for finding in _worst_first(of_pair)]
    return Diagnosis(loaded, tuple(findings))


def _look_over(role: str, settings: ModelSettings) -> tuple[Retriever | None, list[tuple[str, Finding]]]:
    """Check one model: return it, if it can be loaded, and its findings.

    Where nobody says how it pools, that is an error, and what does not hang on it is looked at all the same.
    """
    try:
        retriever = retriever_of(settings, role)
    except UnknownPoolingError as error:
        if settings.source is None:  # the other tower may say its own
            return None, [(role, _refusal(error, check="pooling"))]
        tried = replace(settings, load=replace(settings.load, pooling=TRIED))
        found, findings = _look_over(role, tried)
        said = _refusal(error, f"; all else was tried with {TRIED} pooling", check="pooling")
        return found and _unsaid(found), [(role, said), *findings]
    except EncoderError as error:
        return None, [(role, _refusal(error))]
    return retriever, _of_towers(role, retriever, settings)


def _unsaid(retriever: Retriever) -> Retriever:
    """Return the retriever with the pooling of its recipes marked unknown."""

    def marked(encoder: Encoder) -> Encoder:
        sources = {**encoder.recipe.sources, "pooling": "nobody"}
        return replace(encoder, recipe=replace(encoder.recipe, pooling=UNKNOWN, sources=sources))

    query = marked(retriever.query)
    same = retriever.passage is retriever.query
    return replace(retriever, query=query, passage=query if same else marked(retriever.passage))


def _refusal(error: EncoderError, besides: str = "", check: str = "loading") -> Finding:
    where = f" ({error.where})" if error.where else ""
    return Finding(ERROR, check, f"{error.what}{where}{besides}", error.fix)


def _sources(settings: ModelSettings) -> list[str]:
    return [str(source) for source in (settings.source, settings.query, settings.passage) if source is not None]


def _of_towers(role: str, retriever: Retriever, settings: ModelSettings) -> list[tuple[str, Finding]]:
    """Return the findings of both towers; what they have in common appears once."""
    prompted = any(retriever.tower(tower).recipe.prompt for tower in ("query", "passage"))
    said = {}
    for tower, encoder in _towers(retriever).items():
        path = locate(str(settings.source or getattr(settings, tower)), settings.load.revision)
        said[tower] = encoder_findings(encoder, Origin(path, settings.load, prompted))
    if len(said) == 1:
        return [(role, finding) for finding in _worst_first(next(iter(said.values())))]
    shared = [finding for finding in said["query"] if finding in said["passage"]]
    apart = [
        (f"{role}, {tower} tower", finding)
        for tower, findings in said.items()
        for finding in _worst_first(findings)
        if finding not in shared
    ]
    return [*((role, finding) for finding in _worst_first(shared)), *apart]


def _towers(retriever: Retriever) -> dict[str, Encoder]:
    same = retriever.query is retriever.passage
    return {"passage": retriever.passage} if same else {"query": retriever.query, "passage": retriever.passage}


def _worst_first(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def _architecture(before: Retriever, after: Retriever) -> Iterator[Finding]:
    """Check whether layers and tensors can be paired."""
    for tower in ("query", "passage"):
        one, two = (r.tower(tower) for r in (before, after))
        widths = [_anatomy(e)["width"] for e in (one, two)]
        differ = incomparable(one.anatomy, two.anatomy) or (
            f"one is {widths[0]} wide, the other {widths[1]}" if widths[0] != widths[1] else ""
        )
        if differ:
            fix = "compare a retriever with the backbone that it was fine-tuned from"
            yield Finding(ERROR, "architecture", f"the two are built differently: {differ}", fix)
            return
    about = _anatomy(after.passage)
    yield Finding(PASSED, "architecture", f"both {about['family']}, {about['blocks']} blocks of {about['width']}")


def _weights(before: Retriever, after: Retriever) -> Iterator[Finding]:
    """Check whether fine-tuning changed anything, in either tower or its head."""
    changed, alone, said = dict[str, int](), set[str](), ""
    for tower in ("query", "passage"):
        mine, theirs = (_parameters(r.tower(tower)) for r in (before, after))
        common = [name for name in mine if name in theirs and mine[name].shape == theirs[name].shape]
        alone |= (mine.keys() | theirs.keys()) - set(common)
        changed[tower] = sum(not torch.equal(mine[name], theirs[name].to(mine[name].dtype)) for name in common)
        said = f"{changed[tower]} of {len(common)} tensors differ"
    if alone:
        text = f"{len(alone)} tensors are in one of the two only, or of another shape: {', '.join(sorted(alone)[:3])}"
        yield Finding(WARNING, "weights", text, "see `retroscope diff`; what differs there is not paired")
    still = [tower for tower, n in changed.items() if not n]
    if not still:
        yield Finding(PASSED, "weights", said)
    elif len(still) == 2 and not alone:
        fix = "the same model was given twice, an adapter was not loaded, or fine-tuning never reached the backbone"
        yield Finding(ERROR, "weights", f"{said}: the two are the same model", fix)
    else:
        yield Finding(NOTE, "weights", f"no tensor that both have differs in the {' and '.join(still)} tower")


def _parameters(encoder: Encoder) -> dict[str, torch.Tensor]:
    head = {f"head.{name}": value for name, value in encoder.head.named_parameters()}
    return dict(encoder.backbone.named_parameters()) | head


def _tokenizers(before: Retriever, after: Retriever) -> Iterator[Finding]:
    """Check whether a token number means the same word on both sides."""
    one, two = before.passage.tokenizer, after.passage.tokenizer
    words, others = one.get_vocab(), two.get_vocab()
    moved = [word for word, number in words.items() if others.get(word) != number]
    added = sorted(others.keys() - words.keys(), key=others.__getitem__)
    if moved:
        text = f"{len(moved):,} tokens have another number after, or none, e.g. {moved[0]!r}: {words[moved[0]]}"
        yield Finding(ERROR, "tokenizers", text, "the pair does not read texts alike: find the backbone of this model")
    elif added:
        text = f"the tokenizer grew by {len(added)} tokens: {', '.join(map(repr, added[:5]))}"
        yield Finding(NOTE, "tokenizers", f"{text}; the backbone splits them into others")
    elif not all(same_tokens(before.tower(t), after.tower(t)) for t in ("query", "passage")):
        text = "one vocabulary, but the same texts have other tokens: normalised, split or ended otherwise"
        yield Finding(WARNING, "tokenizers", text, "an effect is then of the tokenizer too; give both the same ending")
    else:
        yield Finding(PASSED, "tokenizers", f"the same tokens for the same texts, {len(words):,} in the vocabulary")


def _recipes(before: Retriever, after: Retriever) -> Iterator[Finding]:
    """Check whether both models treat texts alike."""
    differences = recipe_differences(before, after)
    for text in differences:
        yield Finding(WARNING, "recipes", text, "give both the same, unless that is what is studied")
    if not differences:
        unknown = after.passage.recipe.pooling == UNKNOWN
        alike = "alike but for the pooling, which is not known" if unknown else "the same on both sides"
        yield Finding(NOTE if unknown else PASSED, "recipes", alike)


PAIR_CHECKS: tuple[Callable[[Retriever, Retriever], Iterator[Finding]], ...] = (
    _architecture,
    _weights,
    _tokenizers,
    _recipes,
    unrelated_texts,
)


def _anatomy(encoder: Encoder) -> Record:
    config = encoder.backbone.config
    return {
        "family": encoder.anatomy.family,
        "blocks": encoder.anatomy.n_blocks,
        "width": int(config.hidden_size),
        "parameters": sum(p.numel() for p in encoder.backbone.parameters()),
        "attention": "looks back only" if encoder.anatomy.causal else "looks both ways",
        "last layer": "includes the final norm" if encoder.anatomy.post_norm else "as its block leaves it",
    }


def doctor_document(found: Diagnosis) -> Record:
    """Return the JSON document of `doctor --json`."""
    models = {
        role: {
            "name": r.name,
            "similarity": r.similarity,
            "similarity_source": r.similarity_source,
            "towers": {
                tower: {"anatomy": _anatomy(e), "recipe": e.recipe.as_dict(), "fingerprint": e.fingerprint}
                for tower, e in _towers(r).items()
            },
        }
        for role, r in found.models.items()
    }
    findings = [{"of": who, **asdict(finding)} for who, finding in found.findings]
    made: Record = clean({"schema": SCHEMA, "sound": found.sound, "models": models, "findings": findings})
    return made


def doctor_words(found: Diagnosis) -> str:
    """Return the diagnosis as text for the terminal."""
    blocks = ["\n".join(_model_lines(role, retriever)) for role, retriever in found.models.items()]
    whom = list(dict.fromkeys(who for who, _ in found.findings))
    for who in whom:
        blocks.append("\n".join([who, *(_finding_lines(f) for w, f in found.findings if w == who)]))
    tally = {severity: sum(f.severity == severity for _, f in found.findings) for severity in SEVERITIES}
    said = ", ".join(f"{n} {severity}{'s' if n != 1 and severity != PASSED else ''}" for severity, n in tally.items())
    return "\n\n".join([*blocks, f"{'sound' if found.sound else 'NOT SOUND'}: {said}"])


def _model_lines(role: str, retriever: Retriever) -> Iterator[str]:
    yield f"{role}: {retriever.name}, vectors compared by {retriever.similarity} ({retriever.similarity_source})"
    towers = _towers(retriever)
    for tower, encoder in towers.items():
        about = _anatomy(encoder)
        which = "" if len(towers) == 1 else f"{tower} tower: "
        size = f"{about['blocks']} blocks of {about['width']}, {about['parameters'] / 1e6:,.1f} million parameters"
        yield f"  {which}{about['family']}, {size}, {about['attention']}; layer {about['blocks']} {about['last layer']}"
        for field, value in encoder.recipe.identity().items():
            yield f"    {field:<17}{_said(value):<24}{encoder.recipe.sources.get(field, 'default')}"


def _said(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return repr(value) if isinstance(value, str) else "not set" if value is None else str(value).lower()


def _finding_lines(finding: Finding) -> str:
    lead = f"  {finding.severity:<9}{finding.check:<17}"
    lines = [_wrapped(lead, finding.text)]
    if finding.fix and finding.severity != PASSED:
        lines.append(_wrapped(f"{'':<{len(lead)}}fix: ", finding.fix))
    return "\n".join(lines)


def _wrapped(lead: str, text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=lead, subsequent_indent=" " * len(lead), break_long_words=False)
