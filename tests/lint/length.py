"""No file over 600 lines: a longer one is two files."""

import sys

import tree

LIMIT = 600
PATTERNS = ("include/**/*.hpp", "src/**/*.[ch]pp", "tests/**/*.[ch]pp", "tests/**/*.py", "cmake/*.cmake", "dev")


def check(path: str, source: str) -> list[str]:
    lines = source.count("\n")
    return [f"{path}: {lines} lines"] if lines > LIMIT else []


def main() -> int:
    findings = []
    for path in tree.files(*PATTERNS):
        findings += check(tree.name(path), path.read_text())
    return tree.report(findings)


if __name__ == "__main__":
    sys.exit(main())
