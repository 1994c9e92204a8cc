"""Options of the sample sizes of all analyses: `--depth` names one of three sizes, `--time` a time budget."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

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

    def defaults(self) -> dict[str, Any]:
        """Return the settings that the depth chooses, by dotted name. All other options override them."""
        from retroscope.study.planning.depths import depth_values

        return depth_values(self.depth or "standard")

    def refuse_without_effect(self, settings: "StudySettings") -> None:
        """Refuse options that change nothing in a study with these settings. These options always have an effect."""
