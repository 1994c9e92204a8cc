"""Groups of options: flat in the help text, packed for the command, checked when the command is declared."""

from dataclasses import dataclass, field
from inspect import signature
from typing import Annotated, ClassVar

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from retroscope.cli.groups import flat
from retroscope.cli.parsing import Command
from retroscope.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Fruit:
    HEADING: ClassVar[str] = "Fruit"

    name: Annotated[str, typer.Option("--name", help="Name of the fruit")]
    count: Annotated[int, typer.Option("--count", help="How many to take")] = 3
    ripe: Annotated[bool, typer.Option("--ripe/--unripe", help="Only these")] = True
    kinds: Annotated[list[str] | None, typer.Option("--kind", help="Kinds")] = None


@dataclass(frozen=True, kw_only=True)
class Other:
    size: Annotated[int, typer.Option("--size")] = 1


GOT: list[object] = []


@flat()
def pick(
    place: Annotated[str, typer.Argument(metavar="PLACE")],
    fruit: Fruit,
    other: Other,
    loud: Annotated[bool, typer.Option("--loud")] = False,
) -> None:
    """Pick fruit."""
    GOT.append((place, fruit, other, loud))


@pytest.fixture
def app() -> typer.Typer:
    GOT.clear()
    app = typer.Typer(rich_markup_mode=None, add_completion=False)
    app.command(cls=Command)(pick)
    return app


def test_values_are_packed_into_their_groups(app: typer.Typer) -> None:
    line = "garden --name apple --unripe --kind a --kind b --size 2 --loud"
    done = CliRunner().invoke(app, line.split())
    assert done.exit_code == 0, done.output
    assert [("garden", Fruit(name="apple", ripe=False, kinds=["a", "b"]), Other(size=2), True)] == GOT


def test_defaults_of_a_group_survive(app: typer.Typer) -> None:
    assert CliRunner().invoke(app, ["garden", "--name", "apple"]).exit_code == 0
    assert [("garden", Fruit(name="apple", count=3, ripe=True, kinds=None), Other(size=1), False)] == GOT
    defaults = {name: parameter.default for name, parameter in signature(pick).parameters.items()}
    assert (defaults["count"], defaults["size"], defaults["loud"]) == (3, 1, False)


def test_a_field_without_a_default_is_required(app: typer.Typer) -> None:
    assert signature(pick).parameters["name"].default is signature(pick).empty
    done = CliRunner().invoke(app, ["garden"])
    assert isinstance(done.exception, SettingsError)
    assert "--name is missing" in str(done.exception)


def test_help_names_every_option_under_its_heading(app: typer.Typer) -> None:
    lines = CliRunner().invoke(app, ["--help"]).output.splitlines()
    fruit, options = lines.index("Fruit:"), lines.index("Options:")
    assert any("How many to take" in line for line in lines[fruit:options])
    assert any(line.lstrip().startswith("--size") for line in lines[options:])
    assert fruit < options


def test_a_shared_option_is_not_changed_by_a_heading() -> None:
    info = Fruit.__annotations__["count"].__metadata__[0]
    assert info.rich_help_panel is None


def test_a_generated_group_stands_in_for_its_base() -> None:
    @dataclass(frozen=True)
    class Base: ...

    @dataclass(frozen=True)
    class Made(Base):
        extra: Annotated[bool, typer.Option("--extra")] = False

    received: list[Base] = []

    @flat(group=Made)
    def run(group: Base) -> None:
        received.append(group)

    run(extra=True)
    assert received == [Made(extra=True)]


def test_names_that_occur_twice_are_refused() -> None:
    def same_field(one: Other, size: Annotated[int, typer.Option("--other")] = 1) -> None: ...

    def same_spelling(one: Other, width: Annotated[int, typer.Option("--size")] = 1) -> None: ...

    def same_negation(one: Fruit, raw: Annotated[bool, typer.Option("--unripe")] = False) -> None: ...

    for run, name in ((same_field, "size"), (same_spelling, "--size"), (same_negation, "--unripe")):
        with pytest.raises(TypeError, match=f"more than one option has the name {name}"):
            flat()(run)


def test_a_default_that_could_change_is_refused() -> None:
    @dataclass(frozen=True)
    class Changing:
        names: Annotated[list[str], typer.Option("--names")] = field(default_factory=list)

    def run(group: Changing) -> None: ...

    with pytest.raises(TypeError, match=r"Changing\.names has a default factory"):
        flat(group=Changing)(run)


def test_the_command_keeps_its_name_and_help(app: typer.Typer) -> None:
    assert (pick.__name__, pick.__doc__) == ("pick", "Pick fruit.")
    assert get_command(app).help == "Pick fruit."
