"""Who may include whom: the ranks of the rooms, and the libraries that stay in one room.

A file includes rooms of a lower rank and its own, never another of its own rank, never upward;
private headers stay in their room. src/README.md has the picture.
"""

import re
import sys

import tree

RANKS = {
    "base": 0,
    "obs": 1,
    "config": 2, "http": 2, "net": 2,
    "route": 3, "http1": 3, "http2": 3, "tls": 3,
    "session": 4,
    "upstream": 5, "filter": 5,
    "proxy": 6,
    "runtime": 7,
    "admin": 8,
    "cli": 9,
    "main": 10,
}  # fmt: skip

# Start of an include → the rooms that may have it.
LIBRARIES = {
    "openssl/": {"tls"},
    "nghttp2/": {"http2"},
    "yaml-cpp/": {"config"},
    "prometheus/": {"obs", "admin"},
}

# Rooms that are driven by bytes alone, so that tests and fuzzers can drive them.
PURE = {"http", "http1", "http2", "route", "config"}
SOCKETS = ("boost/asio", "boost/beast", "sys/socket.h", "sys/epoll.h", "netinet/", "unistd.h", "poll.h")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def room_of(path: str) -> str | None:
    match = re.match(r"(?:include/sallyport|src)/([a-z0-9_]+)/", path)
    if match:
        return match.group(1)
    return "main" if path == "src/main.cpp" else None


def check(path: str, source: str) -> list[str]:
    room = room_of(path)
    if room not in RANKS:
        return [f"{path}: no room has this name"]
    findings = []
    for match in INCLUDE.finditer(source):
        included = match.group(2)
        where = f"{path}:{source.count(chr(10), 0, match.start(2)) + 1}"
        findings += [f"{where}: {problem}" for problem in problems(room, match.group(1), included)]
    return findings


def problems(room: str, quote: str, included: str):
    other = re.match(r"sallyport/([a-z0-9_]+)/", included)
    if other:
        target = other.group(1)
        if target not in RANKS:
            yield f"no room '{target}'"
        elif target != room and RANKS[target] >= RANKS[room]:
            yield f"{room} (rank {RANKS[room]}) includes {target} (rank {RANKS[target]})"
    elif quote == '"' and "/" in included:
        yield f'"{included}": a private header of another folder'
    for start, rooms in LIBRARIES.items():
        if included.startswith(start) and room not in rooms:
            yield f"<{included}> belongs in {', '.join(sorted(rooms))} only"
    if room in PURE and included.startswith(SOCKETS):
        yield f"<{included}>: {room} holds no socket"


def main() -> int:
    findings = []
    for path in tree.files("include/sallyport/**/*.hpp", "src/**/*.hpp", "src/**/*.cpp"):
        findings += check(tree.name(path), path.read_text())
    return tree.report(findings)


if __name__ == "__main__":
    sys.exit(main())
