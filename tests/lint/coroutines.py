"""Coroutine shapes that GCC 12 miscompiles, with a double free or a body that never resumes.

In an awaited expression: no braces (an aggregate or closure temporary), no lambda, no ?:, which
may not stand around a co_await either. No co_await in the condition of if, while, switch or for,
and none inside a test macro, which may evaluate it twice. The cure is always a named local.
"""

import re
import sys

import tree

AWAIT = re.compile(r"(?<!operator )\bco_await\b")
CONDITION = re.compile(r"\b(if|while|switch|for)\s*(?:constexpr\s*)?\(")
MACRO = re.compile(r"\b((?:REQUIRE|CHECK)(?:_[A-Z_]+)?)\s*\(")
# A '[' at the start of an operand opens a lambda; behind a name or a closing bracket, an index.
LAMBDA = re.compile(r"(?:^|[(,=?:&|!+\-*/<>{;]|\breturn)\s*\[(?!\[)")
OPEN, CLOSE = "([{", ")]}"


def closing(source: str, start: int) -> int:
    """The index of the bracket that closes the one at `start`."""
    depth = 0
    for index in range(start, len(source)):
        depth += (source[index] in OPEN) - (source[index] in CLOSE)
        if depth == 0:
            return index
    return len(source)


def operand(source: str, start: int) -> str:
    """What is awaited: up to the ';', ',' or closing bracket that ends the expression."""
    depth = 0
    for index in range(start, len(source)):
        char = source[index]
        if depth == 0 and char in ";,)]}":
            return source[start:index]
        depth += (char in OPEN) - (char in CLOSE)
    return source[start:]


def statement(source: str, at: int) -> str:
    """The statement around `at`, as far as brackets of its own level go."""
    begin = max(source.rfind(char, 0, at) for char in ";{}") + 1
    return source[begin:at] + operand(source, at)


def check(path: str, source: str) -> list[str]:
    code = tree.blanked(source)
    findings = []

    def add(at: int, problem: str) -> None:
        findings.append(f"{path}:{code.count(chr(10), 0, at) + 1}: {problem}")

    for match in AWAIT.finditer(code):
        awaited = operand(code, match.end())
        if LAMBDA.search(awaited):
            add(match.start(), "a lambda in an awaited expression: name it first")
        elif "{" in awaited:
            add(match.start(), "a braced temporary in an awaited expression: name it first")
        if re.search(r"(?<!\?)\?(?!\?)", statement(code, match.start())):
            add(match.start(), "?: around or in an awaited expression: use if")
    for pattern, problem in ((CONDITION, "co_await in the condition of {}: name the result first"),
                             (MACRO, "co_await in {}, which may evaluate it twice: name the result first")):
        for match in pattern.finditer(code):
            inside = code[match.end() : closing(code, match.end() - 1)]
            if AWAIT.search(inside):
                add(match.start(), problem.format(match.group(1)))
    return findings


def main() -> int:
    findings = []
    for path in tree.files("include/**/*.hpp", "src/**/*.[ch]pp", "tests/**/*.[ch]pp"):
        source = path.read_text()
        if "co_await" in source:
            findings += check(tree.name(path), source)
    return tree.report(findings)


if __name__ == "__main__":
    sys.exit(main())
