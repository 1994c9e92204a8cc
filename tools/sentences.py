"""Draw sentences of help, errors, docstrings and docs, for a reading test by somebody who does not know the project.

    python tools/sentences.py --seed 1

Ten of each kind, with their places. All are read from the source; none of it is imported.
"""

import argparse
import ast
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FEWEST_WORDS = 4  # below that a sentence is a label
END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`*\"])")
NO_PROSE = ("#", "|", ":::", "<", "![", "    ", "---", "$$")
FOLDERS = ("docs/**/*.md", "*.md")
LEFT_OUT = ("CHANGELOG.md",)

Sentence = tuple[str, str]  # place, text


def trees(root: Path) -> Iterator[tuple[str, ast.Module]]:
    """Parse every module of the package."""
    for path in sorted((root / "src").rglob("*.py")):
        yield path.relative_to(root).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def help_texts(root: Path) -> Iterator[Sentence]:
    """Find the help of every option and argument, and the description of every command."""
    for name, tree in trees(root):
        if "/cli/" not in name:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "help":
                yield f"{name}:{node.value.lineno}", _text(node.value)
            elif "/commands/" in name and isinstance(node, ast.FunctionDef) and node.name == "run":
                yield f"{name}:{node.lineno}", ast.get_docstring(node) or ""


def errors(root: Path) -> Iterator[Sentence]:
    """Find every error that is raised: what is wrong, and the fix."""
    for name, tree in trees(root):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Error") and node.args:
                fixes = [_text(word.value) for word in node.keywords if word.arg == "fix"]
                yield f"{name}:{node.lineno}", " | fix: ".join([_text(node.args[0]), *fixes])


def docstrings(root: Path) -> Iterator[Sentence]:
    """Find the first sentence of every docstring."""
    for name, tree in trees(root):
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = ast.get_docstring(node) or ""
                yield f"{name}:{getattr(node, 'lineno', 1)}", _sentences(text)[0]


def prose(root: Path) -> Iterator[Sentence]:
    """Find every sentence of the documentation, without code, tables and headings."""
    paths = sorted({path for pattern in FOLDERS for path in root.glob(pattern)})
    for path in (path for path in paths if path.name not in LEFT_OUT):
        text = re.sub(r"(?ms)^\s*```.*?^\s*```$", "", path.read_text(encoding="utf-8"))
        for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", text):
            if not block.lstrip("\n").startswith(NO_PROSE):
                yield from ((path.relative_to(root).as_posix(), one) for one in _sentences(block))


KINDS = {"help": help_texts, "errors": errors, "docstrings": docstrings, "docs": prose}


def _text(node: ast.expr) -> str:
    """Return a string as written; the expressions of an f-string stay in braces."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else _hole(part) for part in node.values)
        return "".join(map(str, parts))
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    return f"{{{ast.unparse(node)}}}"


def _hole(part: ast.expr) -> str:
    return f"{{{ast.unparse(part.value)}}}" if isinstance(part, ast.FormattedValue) else ast.unparse(part)


def _sentences(text: str) -> list[str]:
    return END.split(" ".join(text.split()))


def draw(root: Path, seed: int, number: int = 10) -> dict[str, list[Sentence]]:
    """Draw distinct sentences of each kind."""
    random_state = random.Random(seed)
    drawn = {}
    for kind, find in KINDS.items():
        distinct = {text: place for place, text in find(root) if len(text.split()) >= FEWEST_WORDS}
        drawn[kind] = [(distinct[text], text) for text in random_state.sample(sorted(distinct), number)]
    return drawn


def main() -> None:
    """Print a draw."""
    parser = argparse.ArgumentParser(description="Draw sentences for a reading test.")
    parser.add_argument("--seed", type=int, required=True, help="Number that decides which are drawn, e.g. 1")
    parser.add_argument("--number", type=int, default=10, help="Sentences of each kind  [default: 10]")
    options = parser.parse_args()
    for kind, sentences in draw(ROOT, options.seed, options.number).items():
        lines = [
            f"{number:3d}. {' '.join(text.split())}  ({place})" for number, (place, text) in enumerate(sentences, 1)
        ]
        sys.stdout.write("\n".join([kind, *lines, ""]))


if __name__ == "__main__":
    main()
