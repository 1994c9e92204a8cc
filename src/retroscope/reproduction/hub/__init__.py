"""The models and data sets of a reproduction in the Hugging Face hub's cache, real or made up for `--scale smoke`."""
