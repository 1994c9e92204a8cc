"""Commands that train models, or make what they are trained with."""
