"""Run the checks of `retroscope doctor` on one model, or on a backbone and its retriever."""

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace

from retroscope.encoders.checkpoints.folders import locate
from retroscope.encoders.checks.finding import ERROR, PASSED, SEVERITIES, Finding, Origin
from retroscope.encoders.checks.findings import encoder_findings
from retroscope.encoders.checks.signatures import check_similarity
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.errors import EncoderError, UnknownPoolingError
from retroscope.files.documents import SCHEMA, clean
from retroscope.inputs.load import retriever_of
from retroscope.inputs.pairing import compared_like
from retroscope.inputs.settings import DataSettings, ModelSettings
from retroscope.study.doctor.pair_checks import PAIR_CHECKS, UNKNOWN, anatomy_facts
from retroscope.study.doctor.recipes_tried import data_findings
from retroscope.typesetting.documents import Record

WIDTH = 100
TRIED = "mean"  # pooling that is used if the pooling of a model is unknown


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """The findings of all checks of `retroscope doctor`, and the models that could be loaded.

    Attributes:
        models: role ("model", or "before" and "after") -> retriever, without models that could not be loaded. If the
            pooling of a model is unknown, its recipe has the pooling "unknown".
        findings: pairs of a subject and a finding, the worst first within each subject. A subject is a role, a role
            with its tower, "pair" or "data".
    """

    models: Mapping[str, Retriever]
    findings: tuple[tuple[str, Finding], ...]

    @property
    def sound(self) -> bool:
        """Return whether no finding is an error."""
        return all(finding.severity != ERROR for _, finding in self.findings)


def diagnose(models: Mapping[str, ModelSettings], data: DataSettings | None = None) -> Diagnosis:
    """Run the checks of `retroscope doctor` on every model, and on the pair if there are two models.

    Args:
        models: role -> the model to load. The roles "before" and "after" are a pair.
        data: a collection on which the plausible recipes of the retriever ("model" or "after") are tried.

    Raises:
        EncoderError: for a path or hub name that does not exist. Every other defect of a checkpoint is a finding.
    """
    for settings in models.values():
        for source in _sources(settings):
            locate(source, settings.load.revision)
    loaded: dict[str, Retriever] = {}
    findings: list[tuple[str, Finding]] = []
    for role, settings in models.items():
        retriever, of_model = _look_over(role, settings)
        findings += of_model
        if retriever is not None:
            loaded[role] = retriever
    if {"before", "after"} <= loaded.keys():
        loaded["before"] = compared_like(loaded["before"], loaded["after"])  # as compare does
        of_pair = [f for check in PAIR_CHECKS for f in check(loaded["before"], loaded["after"])]
        findings += [("pair", finding) for finding in _worst_first(of_pair)]
    tuned = loaded.get("after") or loaded.get("model")
    if data is not None and tuned is not None:
        findings += [("data", finding) for finding in _worst_first(list(data_findings(_pooled(tuned), data)))]
    return Diagnosis(loaded, tuple(findings))


def _pooled(retriever: Retriever) -> Retriever:
    """Return the retriever. If its pooling is unknown, replace it by the pooling that `doctor` tries instead."""
    if retriever.passage.recipe.pooling != UNKNOWN:
        return retriever
    query, passage = (
        replace(tower, recipe=replace(tower.recipe, pooling=TRIED)) for tower in (retriever.query, retriever.passage)
    )
    return replace(retriever, query=query, passage=passage)


def _look_over(role: str, settings: ModelSettings) -> tuple[Retriever | None, list[tuple[str, Finding]]]:
    """Check one model, and return it (None if it cannot be loaded) with its findings.

    An unknown pooling is an error. All checks that do not depend on the pooling are made nevertheless.
    """
    try:
        retriever = retriever_of(settings, role)
    except UnknownPoolingError as error:
        if settings.source is None:  # the other tower may record its own
            return None, [(role, _refusal(error, check="pooling"))]
        tried = replace(settings, load=replace(settings.load, pooling=TRIED))
        retriever_tried, findings = _look_over(role, tried)
        refusal = _refusal(error, f"; all other checks use {TRIED} pooling", check="pooling")
        others = [(who, finding) for who, finding in findings if finding.check != "pooling"]
        return retriever_tried and _with_unknown_pooling(retriever_tried), [(role, refusal), *others]
    except EncoderError as error:
        return None, [(role, _refusal(error))]
    return retriever, _of_towers(role, retriever, settings)


def _with_unknown_pooling(retriever: Retriever) -> Retriever:
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
    """Return the findings about the query and the passage encoder. A finding that holds for both is listed once."""
    prompted = any(retriever.tower(tower).recipe.prompt for tower in ("query", "passage"))
    by_tower = {}
    set_similarity = retriever.similarity if settings.load.similarity is not None else None
    towers = _towers(retriever)
    for tower, encoder in towers.items():
        path = locate(str(settings.source or getattr(settings, tower)), settings.load.revision)
        compared = [] if set_similarity is None else [*check_similarity(path, set_similarity)]
        read = (tower,) if len(towers) > 1 else ("query", "passage")
        by_tower[tower] = [*encoder_findings(encoder, Origin(path, settings.load, prompted, read)), *compared]
    if len(by_tower) == 1:
        return [(role, finding) for finding in _worst_first(next(iter(by_tower.values())))]
    shared = [finding for finding in by_tower["query"] if finding in by_tower["passage"]]
    apart = [
        (f"{role}, {tower} tower", finding)
        for tower, findings in by_tower.items()
        for finding in _worst_first(findings)
        if finding not in shared
    ]
    return [*((role, finding) for finding in _worst_first(shared)), *apart]


def _towers(retriever: Retriever) -> dict[str, Encoder]:
    same = retriever.query is retriever.passage
    return {"passage": retriever.passage} if same else {"query": retriever.query, "passage": retriever.passage}


def _worst_first(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def doctor_document(diagnosis: Diagnosis) -> Record:
    """Return the document of `doctor --json`: facts of the loaded models and all findings, as JSON-like values."""
    models = {
        role: {
            "name": r.name,
            "similarity": r.similarity,
            "similarity_source": r.similarity_source,
            "towers": {
                tower: {"anatomy": anatomy_facts(e), "recipe": e.recipe.as_dict(), "fingerprint": e.fingerprint}
                for tower, e in _towers(r).items()
            },
        }
        for role, r in diagnosis.models.items()
    }
    findings = [{"of": who, **asdict(finding)} for who, finding in diagnosis.findings]
    document: Record = clean({"schema": SCHEMA, "sound": diagnosis.sound, "models": models, "findings": findings})
    return document


def doctor_words(diagnosis: Diagnosis) -> str:
    """Return the diagnosis as text for the terminal."""
    blocks = ["\n".join(_model_lines(role, retriever)) for role, retriever in diagnosis.models.items()]
    subjects = list(dict.fromkeys(who for who, _ in diagnosis.findings))
    for who in subjects:
        blocks.append("\n".join([who, *(_finding_lines(f) for w, f in diagnosis.findings if w == who)]))
    tally = {severity: sum(f.severity == severity for _, f in diagnosis.findings) for severity in SEVERITIES}
    counts = ", ".join(f"{n} {severity}{'s' if n != 1 and severity != PASSED else ''}" for severity, n in tally.items())
    return "\n\n".join([*blocks, f"{'sound' if diagnosis.sound else 'NOT SOUND'}: {counts}"])


def _model_lines(role: str, retriever: Retriever) -> Iterator[str]:
    yield f"{role}: {retriever.name}, vectors compared by {retriever.similarity} ({retriever.similarity_source})"
    towers = _towers(retriever)
    for tower, encoder in towers.items():
        about = anatomy_facts(encoder)
        which = "" if len(towers) == 1 else f"{tower} tower: "
        size = f"{about['blocks']} blocks of {about['width']}, {about['parameters'] / 1e6:,.1f} million parameters"
        yield f"  {which}{about['family']}, {size}, {about['attention']}; layer {about['blocks']} {about['last layer']}"
        for field, value in encoder.recipe.identity().items():
            yield f"    {field:<17}{_as_text(value):<24}{encoder.recipe.sources.get(field, 'default')}"


def _as_text(value: object) -> str:
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
