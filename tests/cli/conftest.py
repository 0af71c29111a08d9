"""Running the command line."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from captum_clustered.cli.app import app


@pytest.fixture(autouse=True)
def _in_workplace(workplace):
    """Each test has its own current directory."""


@pytest.fixture
def run():
    """Runs the command line; the result has exit_code, stdout and stderr."""

    def invoke(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        # What is not meant for the user must not be shown as if it were.
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        assert "Traceback" not in result.output
        return result

    return invoke


@pytest.fixture
def explain(run, photo):
    """Runs explain on the picture with a tiny network; options replace the usual ones."""

    def invoke(*options, images=None):
        # The last of an option given twice counts.
        usual = ("--model", "factories:net", "--layer", "1", "--size", "32", "--out", "out")
        return run("explain", *(images or [photo]), *usual, *options)

    return invoke
