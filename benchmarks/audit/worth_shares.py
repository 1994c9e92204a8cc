"""Claims of a training grid in null experiments: worth in labels, and shares of the variance.

    python benchmarks/audit/worth_shares.py [--grids 300]

Null: what one level had makes no difference; values = .4 + seed x budget noise + query noise, by a budget of labels.
"""

import argparse

import numpy as np
import xarray as xr

from retroscope.statistics.resampling.intervals import IntervalSettings
from retroscope.statistics.shares import variance_shares
from retroscope.statistics.worth import worth

LABELS = (10, 100, 1000)


def worth_claims(grids, gains=(0.0, 0.0), slope=0.0, seeds=3):
    """Share of grids in which something is claimed at any budget: by the worth alone, and with the gap."""
    random, counts = np.random.default_rng(0), np.zeros(2)
    height = 0.4 + slope * np.arange(3)[None, :, None]
    for _ in range(grids):
        query = 0.2 * random.standard_normal(100)
        had, lacked = (
            height
            + gain
            + query
            + 0.03 * random.standard_normal((seeds, 3, 1))
            + 0.2 * random.standard_normal((seeds, 3, 100))
            for gain in gains
        )
        worths = worth(had, lacked, LABELS, IntervalSettings(resamples=200))[:-1]
        counts += (any(one.low > 0 or one.high < 0 for one in worths), any(one.shown for one in worths))
    return counts / grids


def noise_shares(grids, seeds):
    """Mean of the largest share of a 2 x 3 grid of noise: eta squared and omega squared."""
    random, rows = np.random.default_rng(0), []
    for _ in range(grids):
        means = xr.DataArray(random.standard_normal((2, 3, seeds)), dims=("reinitialise", "labels", "seed"))
        shares = variance_shares(means)
        rows.append(
            [max(getattr(s, kind) for name, s in shares.items() if name != "seed") for kind in ("raw", "share")]
        )
        rows[-1] += [shares["labels"].raw, shares["labels"].share]
    return np.mean(rows, axis=0)


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grids", type=int, default=300)
    grids = parser.parse_args().grids
    print(f"{grids} grids each, seed 0\nwhat | before | after")
    for seeds in (2, 3, 5):
        old, new = worth_claims(grids, seeds=seeds)
        print(f"worth claimed at any budget, no effect, flat curve, {seeds} seeds | {old:.3f} | {new:.3f}")
    old, new = worth_claims(grids, slope=0.1)
    print(f"worth claimed at any budget, no effect, rising curve, 3 seeds | {old:.3f} | {new:.3f}")
    old, new = worth_claims(grids, gains=(0.15, 0.0), slope=0.1)
    print(f"worth claimed at any budget, true gain .15, rising curve, 3 seeds | {old:.3f} | {new:.3f}")
    for seeds in (2, 3, 5):
        largest, shrunk, raw, omega = noise_shares(grids, seeds)
        print(f"share of 'labels' for pure noise, {seeds} seeds | {raw:.3f} | {omega:.3f}")
        print(f"largest share of any effect for pure noise, {seeds} seeds | {largest:.3f} | {shrunk:.3f}")


if __name__ == "__main__":
    main()
