"""Format scores, effects, intervals, p-values, counts and durations as text."""

import math

MISSING = "n/a"
SMALLEST_P = 0.001
TIE = "\u00a0"  # a space at which a page breaks no line
PLURALS = {"y": "ies", "ix": "ices"}


def score(value: float) -> str:
    """Format a score between 0 and 1 with three decimals. A value that rounds to zero has no minus sign."""
    return MISSING if math.isnan(value) else f"{value:z.3f}"


def signed(value: float) -> str:
    """Format an effect with its sign and three decimals: "+0.012"."""
    return MISSING if math.isnan(value) else f"{value:+.3f}"


def interval(low: float, high: float, *, effect: bool = False) -> str:
    """Format an interval in brackets: "[0.312, 0.408]"; with `effect`, both ends have a sign."""
    show = signed if effect else score
    return f"[{show(low)}, {show(high)}]"


def p_value(p: float) -> str:
    """Format a p-value with its relation sign: "p = 0.012" or "p < 0.001", never "p = 0"."""
    number = p_number(p)
    return f"p = {number}" if number[0].isdigit() else f"p {number}"


def tied_p(p: float) -> str:
    """Format a p-value as `p_value` does, but with no-break spaces, so that a page keeps it on one line."""
    return p_value(p).replace(" ", TIE)


def without_ties(text: str) -> str:
    """Replace the no-break spaces of a text (see `tied_p`) by ordinary spaces, for terminals and files."""
    return text.replace(TIE, " ")


def p_number(p: float) -> str:
    """Format a p-value for a column headed "p": "0.012", "< 0.001", "n/a"."""
    if math.isnan(p):
        return MISSING
    return f"< {SMALLEST_P}" if p < SMALLEST_P else f"{p:.3f}"


def marks(p: float, alpha: float) -> str:
    """Return the stars of a corrected p-value: one star if p < alpha, two if p < alpha/5, three if p < alpha/50."""
    return "*" * sum(p < alpha / part for part in (1, 5, 50))


def percent(part: float, *, effect: bool = False) -> str:
    """Format a measured fraction with two significant digits: "0.034 %", "9.0 %"; an effect with its sign: "+12 %"."""
    if math.isnan(part):
        return MISSING
    value, sign = 100 * part, "+" if effect else ""
    digits = f"{value:{sign}z.0f}" if abs(value) >= 9.95 or not value else f"{value:{sign}#.2g}"
    return f"{digits} %"


def exact_percent(part: float) -> str:
    """Format a chosen fraction, such as a confidence level, with all of its digits: "95 %", "0.1 %"."""
    return f"{100 * part:g} %"


def percent_interval(part: float, low: float, high: float) -> str:
    """Format a fraction and its interval in whole per cent: "34 % [-5, 71]", or "n/a" if the fraction is NaN."""
    return MISSING if math.isnan(part) else f"{100 * part:z.0f} % [{100 * low:z.0f}, {100 * high:z.0f}]"


def count(number: int, thing: str) -> str:
    """Format a count with its noun in singular or plural: "1 query", "2 queries", "2 matrices"."""
    plural = next((f"{thing.removesuffix(e)}{end}" for e, end in PLURALS.items() if thing.endswith(e)), f"{thing}s")
    return f"{number:,} {thing if number == 1 else plural}"


def estimate(value: float) -> str:
    """Format an estimated duration with few digits: "under 1 s", "8 s", "4 min", "2 h 10 min"."""
    if value < 1:
        return "under 1 s"
    if value < 90:
        return f"{value:.0f} s"
    minutes = round(value / 60)
    if minutes < 90:
        return f"{minutes} min"
    tens = round(minutes, -1)
    return f"{tens // 60} h {tens % 60} min" if minutes < 600 else f"{round(minutes / 60)} h"


def seconds(value: float) -> str:
    """Format a measured duration: "8.1 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(value)
    if value < 60:
        return f"{value:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
