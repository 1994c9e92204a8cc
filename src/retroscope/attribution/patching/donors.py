"""Names of donors: the run from which a patched activation is taken. No torch.

A random change starts at its donor's activation of the corrupted query, and is as large as the clean one is away from
that.
"""

OWN, RANDOM_PATCH = "own", "random"
OTHER, OTHER_CORRUPTED, OTHER_RANDOM = "other", "other-corrupted", "other-random"
OWN_DONORS = (OWN, RANDOM_PATCH)
OTHER_DONORS = (OTHER, OTHER_CORRUPTED, OTHER_RANDOM)
RANDOM_DONORS = (RANDOM_PATCH, OTHER_RANDOM)
