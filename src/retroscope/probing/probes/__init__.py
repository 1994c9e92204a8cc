"""The probes: functions that choose the relevant candidate of each query by the vectors of one layer."""

from retroscope.probing.probes.bilinear import bilinear
from retroscope.probing.probes.concat import concat
from retroscope.probing.probes.cosine import cosine
from retroscope.probing.probes.dot import dot
from retroscope.probing.probes.elementwise import elementwise
from retroscope.probing.probes.mean_difference import mean_difference
from retroscope.probing.probes.passage_only import passage_only
from retroscope.probing.trial import Probe

PROBES: dict[str, Probe] = {
    "dot": dot,
    "cosine": cosine,
    "passage_only": passage_only,
    "elementwise": elementwise,
    "bilinear": bilinear,
    "mean_difference": mean_difference,
    "concat": concat,
}
