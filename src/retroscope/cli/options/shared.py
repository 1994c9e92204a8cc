"""Options that several commands share with the same help. Related options form a group."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from retroscope.cli import names
from retroscope.cli.defaults import any_of, option, written
from retroscope.cli.values import comma_separated, given, model_values, numbers

SettingValues = dict[str, object]  # dotted name of a setting -> its value; None where the option was not given

THE_CHECKPOINTS, THE_PROTOCOLS = "the checkpoint's", "the protocol's"
LAST_COLUMN = "last_column"  # a pooling of the published protocol, known but not advertised
DEVICE = written("encoders.settings:LoadSettings.device", "cpu")
MEASURES = written("inputs.settings:StudySettings.measures", "nDCG@10,RR@10,R@10,R@100")
PASSAGES = written("probing.settings:ProbeSettings.passages", "2,3,4,5")
SEEDS = written("probing.settings:ProbeSettings.seeds", "5")

ModelArgument = Annotated[
    str,
    typer.Argument(
        help="Retriever: a folder, a hub name, a GGUF file, or two towers as query=NAME,passage=NAME", metavar="MODEL"
    ),
]
Data = Annotated[str, option("--data", help="Collection: a path or FORMAT:PATH, e.g. beir:data/nq", metavar="SPEC")]
AnyData = Annotated[
    str | None, option("--data", help="Collection: a path or FORMAT:PATH, e.g. beir:data/nq", metavar="SPEC")
]
LimitQueries = Annotated[
    int | None,
    option(
        "--limit-queries",
        help="Number of judged queries of a collection to keep, drawn at random",
        metavar="N",
        default="all",
    ),
]
Out = Annotated[Path | None, option("--out", help="Folder to write to", metavar="DIR", default="nothing is written")]
RequiredOut = Annotated[Path, option("--out", help="Folder to write to", metavar="DIR")]
OutUnlessDryRun = Annotated[  # None only in a dry run
    Path | None, option("--out", help="Folder to write to; may be left out with --dry-run", metavar="DIR")
]
PoolingOption = Annotated[
    str | None,
    option(
        "--pooling",
        help=f"Pooling of token vectors: {any_of(names.POOLINGS, LAST_COLUMN)}",
        metavar="NAME",
        default=THE_CHECKPOINTS,
        known=names.POOLINGS,
        kind="pooling",
    ),
]
MaxLength = Annotated[
    int | None, option("--max-length", help="Maximum number of tokens per text", metavar="N", default=THE_CHECKPOINTS)
]
QueryPrompt = Annotated[
    str | None,
    option("--query-prompt", help="Text to put before every query", metavar="TEXT", default=THE_CHECKPOINTS),
]
PassagePrompt = Annotated[
    str | None,
    option("--passage-prompt", help="Text to put before every passage", metavar="TEXT", default=THE_CHECKPOINTS),
]
SimilarityOption = Annotated[
    str | None,
    option(
        "--similarity",
        help=f"Similarity of two vectors: {any_of(names.SIMILARITIES)}",
        metavar="NAME",
        default=THE_CHECKPOINTS,
        known=names.SIMILARITIES,
        kind="similarity",
    ),
]
AppendEos = Annotated[
    bool | None,
    option(
        "--append-eos/--no-append-eos", help="End every text with the EOS token (RepLLaMA)", default=THE_CHECKPOINTS
    ),
]
PresetOption = Annotated[
    str | None,
    option("--preset", help="Preset for recipe fields that the checkpoints do not record: a name from "
                            "`retroscope presets`",
           metavar="NAME", default="that of a known hub name", known=names.PRESETS, kind="preset"),
]  # fmt: skip
Device = Annotated[
    str | None, option("--device", help="Device to run on: cpu, cuda, cuda:1, mps", metavar="NAME", default=DEVICE)
]
ProtocolOption = Annotated[
    str | None,
    option(
        "--protocol",
        help="Protocol of the measurement: default, or ielab-2025 for the published procedure of arXiv 2505.07166",
        metavar="NAME",
        default=written("inputs.settings:StudySettings.protocol", "default"),
        known=names.PROTOCOLS,
        kind="protocol",
    ),
]
Measures = Annotated[
    str | None,
    option(
        "--measures",
        help="Retrieval measures by their ir-measures names, comma-separated; the first is the headline measure",
        metavar="NAMES",
        default=MEASURES,
    ),
]
InteractionsOption = Annotated[
    int | None,
    option(
        "--interactions",
        help="Number N of block groups (2 to 6) for Shapley values and interactions, which need 2^N transplants; "
        "0: none",
        metavar="N",
        default=written("analyses.transplants.settings:SweepSettings.interactions", "0"),
    ),
]
SettingsFile = Annotated[
    Path | None,
    option(
        "--settings",
        help="YAML file of settings; options of the command line override the settings in it",
        metavar="FILE",
    ),
]
Set = Annotated[
    list[str] | None,
    option("--set", help="Change one setting, e.g. probes.rank=32; may be repeated", metavar="A.B=C"),
]
Cache = Annotated[
    Path | None,
    option(
        "--cache",
        help="Cache folder for encoded vectors, which later runs reuse",
        metavar="DIR",
        default="$RETROSCOPE_CACHE, or ~/.cache/retroscope",
    ),
]
Overwrite = Annotated[
    bool, option("--overwrite", help="Overwrite a finished study in --out, even a study with other settings")
]
DryRun = Annotated[bool, option("--dry-run", help="Print the plan of the run, with sizes and times, and stop")]
Json = Annotated[bool, option("--json", help="Print one JSON document, and nothing else, on standard output")]


StoreLayers = Annotated[
    str | None,
    option(
        "--store-layers",
        help="Layers whose vectors are stored: final (only the final vectors), or numbers in ascending order, e.g. "
        "0,6,12; the final vectors are always stored",
        metavar="LAYERS",
        default="all",
    ),
]


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Options of loading models: pooling, length, prompts, similarity and device."""

    HEADING: ClassVar[str] = "Models"

    pooling: PoolingOption = None
    max_length: MaxLength = None
    similarity: SimilarityOption = None
    query_prompt: QueryPrompt = None
    passage_prompt: PassagePrompt = None
    append_eos: AppendEos = None
    preset: PresetOption = None
    device: Device = None

    def values(self) -> SettingValues:
        """Return the given options as fields of `LoadSettings`. Options that were not given are left out."""
        return given(**vars(self))


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Arguments that name a backbone and the retriever fine-tuned from it."""

    before: Annotated[str, typer.Argument(help="Backbone: a folder, a hub name or a GGUF file", metavar="BEFORE")]
    after: Annotated[
        str,
        typer.Argument(
            help="Retriever fine-tuned from BEFORE: a model, or two towers as query=NAME,passage=NAME", metavar="AFTER"
        ),
    ]

    def values(self, models: ModelOptions) -> SettingValues:
        """Return the settings of both models, under "before" and "after"."""
        return {
            "before": model_values(self.before, models.values()),
            "after": model_values(self.after, models.values()),
        }


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Options that name the collection and its queries."""

    HEADING: ClassVar[str] = "Collection"

    data: Data
    split: Annotated[
        str | None, option("--split", help="Qrels split to use", metavar="NAME", default="test, else the only one")
    ] = None
    limit_queries: LimitQueries = None

    def values(self) -> SettingValues:
        """Return the given options as settings of the collection, under "data"."""
        return {"data": given(source=self.data, split=self.split, limit_queries=self.limit_queries)}


@dataclass(frozen=True, kw_only=True)
class ProbeOptions:
    """Options of probing: probes, controls, candidate counts, and train/test splits."""

    HEADING: ClassVar[str] = "Probes"

    probes: Annotated[
        str | None,
        option(
            "--probes",
            help=f"Probes to fit, comma-separated: {', '.join(names.PROBES)}",
            metavar="NAMES",
            default=THE_PROTOCOLS,
            known=names.PROBES,
            kind="probe",
            joint=",",
        ),
    ] = None
    controls: Annotated[
        str | None,
        option(
            "--controls",
            help=f"Controls to run for the probes, comma-separated: {', '.join(names.CONTROLS)}",
            metavar="NAMES",
            default=THE_PROTOCOLS,
            known=names.CONTROLS,
            kind="control",
            joint=",",
        ),
    ] = None
    passages: Annotated[
        str | None,
        option(
            "--passages", help="How many candidate passages (N) a probe chooses from: one or more numbers, "
                               "comma-separated",
            metavar="NUMBERS", default=PASSAGES,
        ),
    ] = None  # fmt: skip
    seeds: Annotated[
        int | None,
        option("--seeds", help="Number of random train/test splits of the queries", metavar="N", default=SEEDS),
    ] = None

    def values(self) -> SettingValues:
        """Return the probe settings by dotted name. None stands for an option that was not given."""
        return {
            "probes.probes": comma_separated(self.probes),
            "probes.controls": comma_separated(self.controls),
            "probes.passages": numbers(self.passages, "--passages"),
            "probes.seeds": self.seeds,
        }


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Options of the output: the folder, whether to overwrite it, whether to print only the plan, and JSON."""

    out: Out = None
    overwrite: Overwrite = False
    dry_run: DryRun = False
    as_json: Json = False


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Options of the output for a command that always writes a report."""

    out: OutUnlessDryRun
    overwrite: Overwrite = False
    dry_run: DryRun = False
    as_json: Json = False
