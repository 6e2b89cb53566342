"""Lines of code by wing, and the arrows between wings and between files: `python tests/benchmarks/lines.py`.

A line of code is one that holds a token of Python: docstrings, comments and blank lines do not count.
"""

import ast
import io
import sys
import tokenize
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "rnn_toolkit"
IDLE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING}
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def lines_of_code(text: str) -> int:
    """Count the lines of a source text that hold code.

    Example:
        >>> lines_of_code('\"\"\"Words.\"\"\"\\n\\n# why\\nx = 1\\n')
        1
    """
    documentation = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            documentation.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    held = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in IDLE and token.type != tokenize.ENDMARKER:
            held.update(range(token.start[0], token.end[0] + 1))
    return len(held - documentation)


def arrows(package: Path) -> set[tuple[str, str]]:
    """Return which file imports which, as dotted names within the package."""
    files = {".".join(path.relative_to(package).with_suffix("").parts): path for path in package.rglob("*.py")}
    found = set()
    for name, path in files.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == package.name:
                source = node.module[len(package.name) + 1 :]
                names = {f"{source}.{alias.name}".lstrip(".") for alias in node.names} | {source}
                found |= {(name, target) for target in names if target in files}
    return {(one, other) for one, other in found if not one.endswith("__init__")}


if __name__ == "__main__":
    package = Path(sys.argv[1]) if len(sys.argv) > 1 else PACKAGE
    counts: dict[str, int] = {}
    for path in sorted(package.rglob("*.py")):
        wing = path.relative_to(package).parts[0]
        counts[wing] = counts.get(wing, 0) + lines_of_code(path.read_text(encoding="utf-8"))
    for wing, count in counts.items():
        print(f"{wing:<14} {count:>6,}")
    print(f"{'together':<14} {sum(counts.values()):>6,}")
    between = arrows(package)
    wings = {(one.split(".")[0], other.split(".")[0]) for one, other in between}
    print(f"{len(between)} arrows between files, {sum(one != other for one, other in wings)} between wings")
