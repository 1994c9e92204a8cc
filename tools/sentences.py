"""Draw sentences of help, errors, docstrings, docs and pages, for a reading test by a stranger to the project.

    python tools/sentences.py --seed 1

Ten of each kind, with their places. All are read from the source; none of it is imported.
"""

import argparse
import ast
import random
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FEWEST_WORDS = 4  # below that a sentence is a label
END = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)(?<!et al\.)(?<!ch\.)\s+(?=[A-Z0-9`*\"\[])")
NO_PROSE = ("#", "|", ":::", "<", "![", "    ", "---", "$$")
FOLDERS = ("docs/**/*.md", "*.md")
LEFT_OUT = ("CHANGELOG.md",)
PAGE_MODULES = ("words.py", "figures.py", "tables.py", "card.py")
MARKUP = re.compile(r"(?s)\{#.*?#\}|\{%.*?%\}|<(script|style)\b.*?</\1>")
PARAGRAPH = re.compile(r"(?s)<(p|li|dd|caption|figcaption)\b[^>]*>(.*?)</\1>")

Sentence = tuple[str, str]  # place, text


@lru_cache(maxsize=1)  # several kinds read them
def trees(root: Path) -> list[tuple[str, ast.Module]]:
    """Parse every module of the package."""
    paths = sorted((root / "src").rglob("*.py"))
    return [(path.relative_to(root).as_posix(), ast.parse(path.read_text(encoding="utf-8"))) for path in paths]


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
    """Find the first sentence of every docstring; its place ends with the signature, which a reader sees above it."""
    for name, tree in trees(root):
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = ast.get_docstring(node) or ""
                place = f"{name}:{getattr(node, 'lineno', 1)}"
                yield f"{place} {_signature(node)}".rstrip(), _sentences(text)[0]


def prose(root: Path) -> Iterator[Sentence]:
    """Find every sentence of the documentation, without code, tables and headings."""
    paths = sorted({path for pattern in FOLDERS for path in root.glob(pattern)})
    for path in (path for path in paths if path.name not in LEFT_OUT):
        name = path.relative_to(root).as_posix()
        text = _blanked(r"(?ms)^\s*```.*?^\s*```$", path.read_text(encoding="utf-8"))
        for block in re.finditer(r"(?s)\S.*?(?=\n\s*\n|\n\s*(?:[-*]|\d+\.) |\Z)", text):
            indented = text[text.rfind("\n", 0, block.start()) + 1 : block.start()] + block.group()
            if not indented.startswith(NO_PROSE):
                place = f"{name}:{_line(text, block.start())}"
                yield from ((place, one) for one in _sentences(block.group()))


def page(root: Path) -> Iterator[Sentence]:
    """Find what a report prints: statements, captions and cards of the analyses, and paragraphs of the templates."""
    for name, tree in trees(root):
        if "/analyses/" in name and name.endswith(PAGE_MODULES):
            for node in _strings(tree):
                yield from ((f"{name}:{node.lineno}", one) for one in _sentences(_text(node)))
    for path in sorted((root / "src").rglob("*.j2")):
        text = _blanked(MARKUP, path.read_text(encoding="utf-8"))
        for found in PARAGRAPH.finditer(text):
            place = f"{path.relative_to(root).as_posix()}:{_line(text, found.start())}"
            yield from ((place, one) for one in _sentences(re.sub(r"<[^>]*>", "", found.group(2))))


KINDS = {"help": help_texts, "errors": errors, "docstrings": docstrings, "docs": prose, "page": page}


def _signature(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> str:
    if isinstance(node, ast.Module):
        return ""
    if isinstance(node, ast.ClassDef):
        return f"class {node.name}"
    returned = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"def {node.name}({ast.unparse(node.args)}){returned}"


def _strings(tree: ast.AST) -> Iterator[ast.expr]:
    """Find every string but docstrings; an f-string and a concatenation count as one."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            yield node
        else:
            yield from _strings(node)


def _blanked(pattern: str | re.Pattern[str], text: str) -> str:
    """Remove what matches, but keep its line breaks, so that line numbers stay."""
    return re.sub(pattern, lambda found: "\n" * found.group().count("\n"), text)


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


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
