"""`retroscope world --out DIR`: write a collection about invented people."""

from dataclasses import asdict, dataclass
from typing import Annotated

from retroscope.cli.defaults import option, written
from retroscope.cli.groups import flat
from retroscope.cli.options import shared as o

EXAMPLE = "retroscope world --people 500 --out data/world"
WORLD = "collection.world.people:WorldSettings"


@dataclass(frozen=True, kw_only=True)
class WorldOptions:
    """Options of the collection about invented people: its size, and how many of the people occur in training."""

    people: Annotated[
        int,
        option("--people", help="Number of invented people", metavar="N", default=written(f"{WORLD}.people", "2000")),
    ] = 2000
    known: Annotated[
        float,
        option(
            "--known",
            help="Fraction of the people whose facts are in the pre-training text",
            metavar="X",
            default=written(f"{WORLD}.known", "0.5"),
        ),
    ] = 0.5
    trained: Annotated[
        float,
        option(
            "--trained",
            help="Fraction of the people about whom there is a training pair (a question and its passage)",
            metavar="X",
            default=written(f"{WORLD}.trained", "0.6"),
        ),
    ] = 0.6
    documents: Annotated[
        int,
        option(
            "--documents",
            help="Number of pre-training documents about each person",
            metavar="N",
            default=written(f"{WORLD}.documents", "16"),
        ),
    ] = 16
    seed: Annotated[
        int,
        option(
            "--seed",
            help="Random seed of the invented people and their texts",
            metavar="N",
            default=written(f"{WORLD}.seed", "0"),
        ),
    ] = 0


@flat()
def run(out: o.RequiredOut, options: WorldOptions, as_json: o.Json = False) -> None:
    """Write a collection about invented people.

    The people are invented, so a model can know about them only from this collection. The command writes a text for
    pre-training and a BEIR folder. Four of its splits differ in whether the people in their questions occur in the
    pre-training text, and whether they occur in the fine-tuning pairs.
    """
    from retroscope.cli.terminal import claimed, emit, say
    from retroscope.collection.world.files import write_world
    from retroscope.collection.world.people import WorldSettings
    from retroscope.collection.world.world import make_world, world_facts, world_summary

    world = make_world(WorldSettings(**asdict(options)))
    with claimed(out):
        folder = write_world(world, out)
    emit(world_facts(world)) if as_json else say(f"{world_summary(world)}\nwritten: {folder}")
