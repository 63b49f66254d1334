"""What the lints share: the repository's files, and C++ source without its comments and strings."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def files(*patterns: str):
    """The files that match, in a stable order; build trees are not among them."""
    found = set()
    for pattern in patterns:
        found.update(path for path in ROOT.glob(pattern) if path.is_file())
    return sorted(path for path in found if "build" not in path.relative_to(ROOT).parts[:1])


_TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?\*/|R"(?P<mark>[^()\\\s]*)\(.*?\)(?P=mark)"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])*'""",
    re.DOTALL,
)


def blanked(source: str) -> str:
    """The source with comments and literals made blank; every line stays where it was."""

    def blank(match: re.Match) -> str:
        text = match.group(0)
        kept = "\n" * text.count("\n")
        return kept if text.startswith("/") else '""' + kept if text[0] in 'R"' else "' '" + kept

    return _TOKEN.sub(blank, source)


def report(findings: list[str]) -> int:
    """Prints them and gives the exit status."""
    for finding in findings:
        print(finding)
    print(f"{len(findings)} finding(s)" if findings else "clean")
    return 1 if findings else 0


def name(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


if __name__ == "__main__":
    sys.exit("this is no lint of its own")
