"""Everything that commands import, so that each disturbed run can be forked from a process that has it already."""

import retroscope.cli.commands.compare
import retroscope.study.embed
import retroscope.study.outcome
import retroscope.study.run
import retroscope.study.training.grid
import retroscope.study.training.grid_report
import retroscope.study.training.grid_summary
import retroscope.typesetting.charts.drawing
import retroscope.typesetting.page  # noqa: F401
