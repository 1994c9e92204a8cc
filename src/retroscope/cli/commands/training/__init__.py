"""Commands that train or edit models, and the command that writes data for training."""
