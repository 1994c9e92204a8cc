"""Options of the sample sizes of all analyses: `--depth` names one of three sizes, `--time` a time budget."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from retroscope.analyses.analysis import DEPTHS
from retroscope.cli.defaults import option
from retroscope.cli.values import duration
from retroscope.errors import SettingsError

if TYPE_CHECKING:
    from retroscope.inputs.settings import StudySettings


@dataclass(frozen=True, kw_only=True)
class SizeOptions:
    """Options that choose the sample sizes of all analyses: a named depth or a time budget."""

    HEADING: ClassVar[str] = "Size"

    depth: Annotated[
        str | None,
        option(
            "--depth",
            help=f"Sample sizes of all analyses, from smallest to largest: {', '.join(DEPTHS)}",
            metavar="NAME",
            default="standard",
            known=DEPTHS,
            kind="depth",
        ),
    ] = None
    time: Annotated[
        str | None,
        option(
            "--time",
            help="Time budget, e.g. 10m: sample sizes are chosen so that the study is estimated to take no longer. The "
            "value `all` chooses the largest sizes",
            metavar="T",
            default="the sizes of --depth",
        ),
    ] = None

    def seconds(self) -> float | None:
        """Return the time budget in seconds (infinity for "all"), or None without `--time`.

        Raises:
            SettingsError: if depth and time are both given.
        """
        if self.depth is not None and self.time is not None:
            raise SettingsError(
                f"both --depth {self.depth} and --time {self.time} choose the sample sizes",
                fix="give either --depth or --time",
            )
        return duration(self.time)

    def applied(self, settings: "StudySettings", assignments: Sequence[str]) -> "StudySettings":
        """Return the settings of a study with what these options change besides sample sizes: nothing.

        Args:
            assignments: those of `--set`, which override options.
        """
        return settings
