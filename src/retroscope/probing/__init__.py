"""Is relevance readable here? The task, the probes, their controls, and the grid over layers."""

from retroscope.probing.controls import CONTROLS
from retroscope.probing.grid import probe
from retroscope.probing.options import ConcatTraining
from retroscope.probing.probes import PROBES
from retroscope.probing.result import ProbeResult
from retroscope.probing.settings import PROTOCOLS, ProbeSettings

__all__ = ["CONTROLS", "PROBES", "PROTOCOLS", "ConcatTraining", "ProbeResult", "ProbeSettings", "probe"]
