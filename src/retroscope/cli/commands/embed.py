"""`retroscope embed MODEL --texts FILE --out DIR`: store the vectors of texts at every layer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from retroscope.cli import names
from retroscope.cli.defaults import option
from retroscope.cli.groups import flat
from retroscope.cli.loading import load_libraries
from retroscope.cli.options import shared as o
from retroscope.cli.options.run import EngineOptions, chosen_engine
from retroscope.cli.values import given, model_values, stored_layers

EXAMPLE = "retroscope embed facebook/contriever --pooling mean --texts texts.txt --out runs/vectors"


@dataclass(frozen=True, kw_only=True)
class EncoderOptions:
    """Options of loading a model that encodes texts. They lack the similarity, because no vectors are compared."""

    HEADING: ClassVar[str] = "Models"

    pooling: o.PoolingOption = None
    max_length: o.MaxLength = None
    query_prompt: o.QueryPrompt = None
    passage_prompt: o.PassagePrompt = None
    append_eos: o.AppendEos = None
    device: o.Device = None

    def values(self) -> o.SettingValues:
        """Return the given options as fields of `LoadSettings`. Options that were not given are left out."""
        return given(**vars(self))


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """Options of the texts, the tower that encodes them, the output folder, and the layers that are stored."""

    texts: Annotated[
        Path, option("--texts", help="File of the texts to embed: one text per line, UTF-8", metavar="FILE")
    ]
    out: Annotated[
        str | None,
        option(
            "--out",
            help="Folder to write the vectors to, or URL of an object store (s3://bucket/prefix); may be left out with "
            "--dry-run",
            metavar="DIR",
        ),
    ]
    tower: Annotated[
        str,
        option("--tower", help="Tower that encodes the texts, with its prompt and weights: query or passage",
               metavar="NAME", default="passage", known=names.TOWERS, kind="tower"),
    ] = "passage"  # fmt: skip
    store_layers: o.StoreLayers = None


@dataclass(frozen=True, kw_only=True)
class PrintOptions:
    """Options of the output: print a plan instead of running, and print JSON instead of text."""

    dry_run: o.DryRun = False
    as_json: o.Json = False


@flat()
def run(
    model: o.ModelArgument,
    source: TextOptions,
    models: EncoderOptions,
    engine: EngineOptions,
    printed: PrintOptions,
    protocol: o.ProtocolOption = None,
    settings: o.SettingsFile = None,
    assignments: o.Set = None,
) -> None:
    """Write the vectors of every text at every layer.

    The output is a zarr group with two arrays. `vectors` (text, layer, dim) holds the pooled vectors of the
    layers. `final` (text, out) holds the vectors with which the retriever searches.
    Repeat the command to compute what is missing after an interruption.
    """
    values: o.SettingValues = {
        "after": model_values(model, models.values()),
        "protocol": protocol,
        "extraction.layers": stored_layers(source.store_layers),
    }

    from retroscope.cli.resolve import resolve
    from retroscope.cli.terminal import claimed, emit, note, say
    from retroscope.display import progress_bars
    from retroscope.engine.storage import is_url
    from retroscope.inputs.sources import check_sources_and_pooling

    study_settings = check_sources_and_pooling(resolve(values, settings, assignments))
    load_libraries()
    from retroscope.inputs.load import TextLines
    from retroscope.study.embed import as_new_folder, describe_embedding, embed, plan_embedding

    out = source.out if source.out is None or is_url(source.out) else as_new_folder(Path(source.out))
    place = chosen_engine(engine)
    planned = plan_embedding(study_settings, TextLines(source.texts), source.tower)
    if printed.dry_run or out is None:
        emit(planned.document(out)) if printed.as_json else say(describe_embedding(planned, out))
        return
    note(describe_embedding(planned, out))
    with claimed(*([] if is_url(out) else [Path(out).parent]), locked=False), progress_bars() as progress:
        document = embed(planned, out, progress, engine=place)
    emit(document) if printed.as_json else say(f"vectors of {len(planned.texts):,} texts: {out}")
