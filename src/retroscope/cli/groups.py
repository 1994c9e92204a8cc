"""Groups of options: each group is declared once, as a frozen dataclass, and reaches a command as one value.

A field is an option: `Annotated[TYPE, typer.Option("--name", ...)] = DEFAULT`. The class attribute `HEADING` is the
heading above the group's options in the help text.
"""

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import MISSING, Field, fields, is_dataclass
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from typer.models import OptionInfo

CommandFunction = Callable[..., None]
NO_DEFAULT = Parameter.empty


def flat(**generated: type) -> Callable[[CommandFunction], CommandFunction]:
    """Return a decorator for commands with groups of options: typer gets single options, the command gets whole groups.

    Args:
        generated: name of a parameter -> class of its group of options. It is needed if this class is made at run time
            and the annotation names only its base class.

    Raises:
        TypeError: if two options of the command share a name, or an option has a default factory.
    """

    def decorator(run: CommandFunction) -> CommandFunction:
        kinds = {name: generated.get(name, kind) for name, kind in _annotations(run).items()}
        groups = {name: kind for name, kind in kinds.items() if is_dataclass(kind)}
        options = list(_options(run, kinds, groups))
        _refuse_duplicates(run, options)

        def packed(**values: Any) -> None:
            run(**{name: _packed(kind, values) if name in groups else values[name] for name, kind in kinds.items()})

        packed.__name__, packed.__doc__, packed.__module__ = run.__name__, run.__doc__, run.__module__
        packed.__dict__["__signature__"] = Signature(options)
        packed.__annotations__ = {option.name: option.annotation for option in options}
        return packed

    return decorator


def spellings(group: type) -> set[str]:
    """Return the names of a group's options as a user types them, e.g. "--out"."""
    kinds = get_type_hints(group, include_extras=True)
    infos = [
        info for field in fields(group) for info in get_args(kinds[field.name])[1:] if isinstance(info, OptionInfo)
    ]
    return {name for info in infos for name in _spellings(info)}


def _annotations(run: CommandFunction) -> dict[str, Any]:
    return {name: kind for name, kind in get_type_hints(run, include_extras=True).items() if name != "return"}


def _options(run: CommandFunction, kinds: Mapping[str, Any], groups: Mapping[str, Any]) -> Iterator[Parameter]:
    """Yield each option of a command as a parameter. In place of a group, yield the options of the group."""
    defaults = {name: parameter.default for name, parameter in signature(run).parameters.items()}
    for name, kind in kinds.items():
        if name in groups:
            yield from _options_of(kind)
        else:
            yield Parameter(name, Parameter.KEYWORD_ONLY, default=defaults[name], annotation=kind)


def _options_of(group: Any) -> Iterator[Parameter]:
    kinds = get_type_hints(group, include_extras=True)
    for field in fields(group):
        annotation = _under(getattr(group, "HEADING", None), kinds[field.name])
        yield Parameter(field.name, Parameter.KEYWORD_ONLY, default=_default(group, field), annotation=annotation)


def _default(group: Any, field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        raise TypeError(f"the option {group.__name__}.{field.name} has a default factory: give an immutable default")
    return NO_DEFAULT if field.default is MISSING else field.default


def _under(heading: str | None, annotation: Any) -> Any:
    """Return the annotation of an option, changed so that the help lists the option under `heading`."""
    if heading is None or get_origin(annotation) is not Annotated:
        return annotation
    kind, *metadata = get_args(annotation)
    marked = [copy(item) for item in metadata]
    for info in marked:
        if isinstance(info, OptionInfo):
            info.rich_help_panel = heading
    return Annotated[(kind, *marked)]


def _refuse_duplicates(run: CommandFunction, options: list[Parameter]) -> None:
    names = [option.name for option in options]
    for option in options:
        for info in get_args(option.annotation)[1:]:
            names += _spellings(info) if isinstance(info, OptionInfo) else []
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TypeError(f"{run.__module__}: more than one option has the name {', '.join(twice)}")


def _spellings(info: OptionInfo) -> list[str]:
    """Return the names of an option: `--name`, and `--no-name` after a slash."""
    declared = (info.default, *(info.param_decls or ()))  # typer keeps the first under `default`
    return [part for text in declared if isinstance(text, str) for part in text.split("/")]


def _packed(group: Any, values: Mapping[str, Any]) -> Any:
    return group(**{field.name: values[field.name] for field in fields(group)})
