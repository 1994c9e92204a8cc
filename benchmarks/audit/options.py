"""The options that the scripts about probes share."""

import argparse
from pathlib import Path


def probing_options(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the model, the collection, the cache of vectors and the layers."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--layers", type=int, nargs="+", default=[6])
    return parser
