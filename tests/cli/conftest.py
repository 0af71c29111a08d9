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
def usual():
    """Returns a tiny network and its layer 1, unless the options name layers."""

    def options_before(options):
        # The last of an option given twice counts, except for layers: there may be several.
        layer = () if "--layer" in options else ("--layer", "1")
        return ("--model", "factories:net", *layer, "--size", "32", "--out", "out")

    return options_before


@pytest.fixture(autouse=True)
def _coarse_figures(request):
    if "whole_figures" not in request.fixturenames:
        request.getfixturevalue("coarse_figures")


@pytest.fixture
def whole_figures():
    """Draws figures as they are."""


@pytest.fixture
def explain(run, photo, usual):
    """Runs explain on the picture with a tiny network; options replace the usual ones."""

    def invoke(*options, images=None):
        return run("explain", *(images or [photo]), *usual(options), *options)

    return invoke
