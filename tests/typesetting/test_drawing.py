"""Figures on paper are the same bytes run after run."""

import subprocess
import sys

from retroscope.typesetting.charts.drawing import pdf

GROUPS = "".join(
    f'<g opacity=".{k}"><rect x="{k}" width="3" height="3"/><text y="9">{k}</text></g>' for k in range(1, 9)
)
DRAWN = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="99" height="50" font-family="sans-serif"><text y="20">one</text>'
    f'<text y="40" font-weight="bold">two</text>{GROUPS}</svg>'
)
IN_A_PROCESS = "import hashlib, sys; from {} import {}; print(hashlib.sha256(bytes({}(sys.argv[1]))).hexdigest())"


def digests(module: str, name: str, processes: int) -> set[str]:
    """Digests of the PDF that a function makes, each in a process of its own."""
    command = [sys.executable, "-c", IN_A_PROCESS.format(module, name, name), DRAWN]
    return {subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(processes)}


def test_a_pdf_has_the_same_bytes_in_every_process() -> None:
    assert len(digests("retroscope.typesetting.charts.drawing", "pdf", 2)) == 1
    assert pdf(DRAWN) == pdf(DRAWN)


def test_the_control_shows_that_this_needs_work() -> None:
    assert len(digests("vl_convert", "svg_to_pdf", 4)) > 1


def test_a_pdf_holds_no_date() -> None:
    drawn = pdf(DRAWN)
    assert drawn.startswith(b"%PDF-")
    assert b"Date" not in drawn
