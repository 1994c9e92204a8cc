"""Show progress to a person: bars in a terminal, a line in a notebook, occasional lines in a log."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Column
from rich.text import Text

from retroscope.progress import Count, Pace, Progress, heard_by, listener, silence
from retroscope.visible import visible

Shown = Progress | bool | None
"""The argument `progress` of a function: a callback of (what, done, total), True, False, or None.

True shows progress, False shows none, and None shows it only in a terminal or a notebook.
"""

ShownCount = Count | bool | None
"""The argument `progress` of a function with a single stage: a callback of (done, total), or as in `Shown`."""

FIRST = 2.0  # seconds until the first line of progress where there is no terminal
SELDOM = 60.0  # seconds between two lines
OFTEN = 0.2  # seconds between two changes of a line in a notebook
WORTH_A_LINE = 1.0  # seconds of a stage that leaves a line in a terminal when it is finished
NARROW = 90  # characters of a terminal in which bars would leave no room for names


@contextmanager
def shown(progress: Shown) -> Iterator[Progress | None]:
    """Convert the argument `progress` of a function to a callback of (what, done, total), or None to show nothing.

    Inside the context, functions that are called with `progress=None` show no progress of their own. Functions without
    this argument report to the callback that `listens` returns.
    """
    caller = listener()
    if progress is True or (progress is None and caller is None and is_interactive()):
        with progress_bars() as bars:
            yield bars
        return
    report = progress if callable(progress) else None
    with heard_by(report or (caller if progress is None else None) or silence):
        yield report


@contextmanager
def shown_count(progress: ShownCount, what: str) -> Iterator[Count | None]:
    """Convert the argument `progress` of a function with a single stage to a callback of (done, total), or None.

    Args:
        progress: a callback of (done, total), True, False or None.
        what: name of the stage, which is shown.
    """
    if callable(progress):
        with shown(None if listener() else False):
            yield progress
        return
    with shown(progress) as report:
        yield None if report is None else (lambda done, total: report(what, done, total))


def is_interactive() -> bool:
    """Return whether a person watches: standard error is a terminal, or this is a notebook."""
    return in_notebook() or (sys.stderr is not None and sys.stderr.isatty())


def in_notebook() -> bool:
    """Return whether the interpreter is the kernel of a notebook."""
    return "ipykernel" in sys.modules


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Yield a callback that shows (what, done, total): bars in a terminal, a line in a notebook, few lines in a log."""
    with _drawn() as bars, heard_by(bars):
        yield bars


@contextmanager
def _drawn() -> Iterator[Progress]:
    if in_notebook():
        yield _rewritten_line()
        return
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines()
        return
    paces = _Paces()

    with Bars(*_columns(console.width), console=console) as drawn:
        tasks: dict[str, TaskID] = {}
        finished: set[str] = set()

        def draw(what: str, done: int, total: int) -> None:
            pace = paces.report(what, done, total)
            if done >= total and what in finished:
                return
            finished.discard(what)
            if what not in tasks:
                tasks[what] = drawn.add_task(visible(what), total=total, pace=pace)
            drawn.update(tasks[what], completed=done, total=total)
            if done >= total:  # bars of all stages of a long study would not fit into the terminal
                finished.add(what)
                drawn.remove_task(tasks.pop(what))
                if pace.took >= WORTH_A_LINE:
                    console.print(Text(f"{visible(what)}: {total:,} in {_duration(pace.took)}"), highlight=False)

        yield draw


class _Paces:
    """The speed of each stage of the work, in items per second."""

    def __init__(self) -> None:
        self._of: dict[str, Pace] = {}
        self._last = monotonic()

    def report(self, what: str, done: int, total: int) -> Pace:
        pace = self._of.setdefault(what, Pace(self._last))
        self._last = monotonic()
        pace.report(done, total, self._last)
        return pace


def _lines() -> Progress:
    """Return a callback for logs: it writes a line after `FIRST` seconds, then at most one every `SELDOM` seconds."""
    paces, due = _Paces(), monotonic() + FIRST

    def write(what: str, done: int, total: int) -> None:
        nonlocal due
        pace = paces.report(what, done, total)
        if monotonic() >= due:
            due = monotonic() + SELDOM
            sys.stderr.write(f"{_line(visible(what), pace)}\n")

    return write


def _rewritten_line() -> Progress:
    """Return a callback for notebooks: it shows each stage in one line and updates this line in place."""
    paces, due, under_way = _Paces(), monotonic(), ""

    def rewrite(what: str, done: int, total: int) -> None:
        nonlocal due, under_way
        pace = paces.report(what, done, total)
        if what != under_way or done == total or monotonic() >= due:
            due = monotonic() + OFTEN
            start = "\n" if under_way not in ("", what) else "\r"
            under_way = "" if done == total else what
            sys.stderr.write(f"{start}{_line(visible(what), pace):<{NARROW}}{'' if under_way else chr(10)}")
            sys.stderr.flush()

    return rewrite


def _line(what: str, pace: Pace) -> str:
    rest = "" if pace.rate is None else f", {_rate(pace)}, {_left(pace)} left"
    return f"{what}: {pace.done:,} of {pace.total:,}{rest}"


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(_rate(task.fields["pace"]))


class _LeftColumn(ProgressColumn):
    """Column of a progress bar: the remaining time."""

    def render(self, task: Task) -> Text:
        return Text(f"{_left(task.fields['pace'])} left")


def _rate(pace: Pace) -> str:
    rate = pace.rate
    if rate is None:
        return ""
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s" if rate >= 0.1 else f"{60 * rate:.1f}/min"


def _left(pace: Pace) -> str:
    left = pace.left(monotonic())
    return "-:--:--" if left is None else _duration(left)


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _columns(width: int) -> tuple[ProgressColumn, ...]:
    """Return the columns of a progress bar. Narrow terminals show only name, count and remaining time."""
    name = TextColumn("{task.description}", markup=False, table_column=Column(overflow="fold"))
    count, left = MofNCompleteColumn(), _LeftColumn()
    if width < NARROW:
        return name, count, left
    return name, BarColumn(), count, _RateColumn(), TimeElapsedColumn(), left
