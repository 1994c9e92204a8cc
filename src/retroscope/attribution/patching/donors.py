"""Names of donors: the model and the text from which a patched activation is taken.

"own" is the activation of the receiver (the model that is patched) on the clean query, and "other" is the other model's
activation on it. "other-corrupted" is the other model's activation on the corrupted query. The random donors are
controls: the donor model's activation on the corrupted query, moved in a random direction by its distance to the
activation on the clean query.

This module does not import torch.
"""

OWN, RANDOM_PATCH = "own", "random"
OTHER, OTHER_CORRUPTED, OTHER_RANDOM = "other", "other-corrupted", "other-random"
OWN_DONORS = (OWN, RANDOM_PATCH)
OTHER_DONORS = (OTHER, OTHER_CORRUPTED, OTHER_RANDOM)
RANDOM_DONORS = (RANDOM_PATCH, OTHER_RANDOM)
