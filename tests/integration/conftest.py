from harness.fixtures import *  # noqa: F403: the hooks and fixtures of every test here
