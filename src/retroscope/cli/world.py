"""retroscope world --out DIR."""

from typing import Annotated

import typer

from retroscope.cli import options as o


def run(
    out: o.RequiredOut,
    people: Annotated[int, typer.Option("--people", help="How many.")] = 2000,
    known: Annotated[float, typer.Option("--known", help="Share whose facts are in the pre-training text.")] = 0.5,
    trained: Annotated[float, typer.Option("--trained", help="Share whose pair is for fine-tuning.")] = 0.6,
    documents: Annotated[int, typer.Option("--documents", help="Of pre-training text about each person.")] = 16,
    seed: Annotated[int, typer.Option("--seed", help="Of everything.")] = 0,
    as_json: o.Json = False,
) -> None:
    """Write a world of invented people, every exposure known.

    A BEIR folder with a split for each exposure (pre-training text x fine-tuning pairs), and the text.
    """
    from retroscope.cli.terminal import emit, say
    from retroscope.collection.world.files import write_world
    from retroscope.collection.world.people import WorldSettings
    from retroscope.collection.world.world import make_world, world_facts, world_summary

    settings = WorldSettings(people=people, known=known, trained=trained, documents=documents, seed=seed)
    world = make_world(settings)
    folder = write_world(world, out)
    emit(world_facts(world)) if as_json else say(f"{world_summary(world)}\nwritten: {folder}")
