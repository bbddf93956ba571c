"""The command line in this process, as its own tests run it."""

from test_cli import here, run, shop  # noqa: F401 - fixtures
