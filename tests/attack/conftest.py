"""The attack suite drives the real gateway in an arena, see arena.py. One arena serves a module;
a module that needs another configuration defines `configure(config)`, which changes it in place."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "integration"))

import pytest  # noqa: E402
from arena import Arena  # noqa: E402
from harness.fixtures import *  # noqa: E402, F403


@pytest.fixture(scope="module")
def arena(request, binary, certs, origin, tmp_path_factory):
    made = Arena(binary, certs, origin, tmp_path_factory.mktemp("arena"), getattr(request.module, "configure", None))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(autouse=True)
def _bystander_is_served(request):
    """Every test starts with empty records, and ends with somebody else being served in time."""
    if "arena" not in request.fixturenames:
        yield
        return
    arena = request.getfixturevalue("arena")
    arena.forget()
    yield
    arena.bystander.check()
