"""Names that options accept, so that a misspelt name is refused before torch is imported.

Names that are copied from modules with torch are compared with the originals by tests/cli/test_defaults.py.
"""

from retroscope.encoders import settings as loading
from retroscope.encoders.presets import table

POOLINGS, SIMILARITIES, PROTOCOLS = loading.POOLING_NAMES, loading.SIMILARITY_NAMES, loading.PROTOCOLS
PRESETS = tuple(table.PRESETS)
ENGINES = ("local", "ray")
TOWERS = ("query", "passage")
ATTRIBUTED_TOWERS = ("query", "passage", "both")
TARGETS = ("norm", "score", "margin")
METHODS = ("weight_path", "joint_path", "conductance", "activation_x_gradient")
PARTS = ("intermediate", "up", "output")
ATTRIBUTION_PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
PROBES = ("dot", "cosine", "passage_only", "elementwise", "bilinear", "mean_difference", "concat", "mdl")
CONTROLS = ("none", "shuffled_queries", "hash_labels", "random_weights")
