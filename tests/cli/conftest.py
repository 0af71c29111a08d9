"""Running the command line."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from captum_clustered.cli.app import app
from captum_clustered.visualization import canvas
from captum_clustered.visualization.canvas import save_figure


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


@pytest.fixture
def coarse_figures(monkeypatch):
    """Draws figures with few pixels and without a layout, which tests of figures look at."""

    def save(figure, path):
        figure.set_layout_engine("none")
        figure.set_dpi(20)
        save_figure(figure, path)

    monkeypatch.setattr(canvas, "save_figure", save)


@pytest.fixture
def explain(run, photo, usual, coarse_figures):
    """Runs explain on the picture with a tiny network; options replace the usual ones."""

    def invoke(*options, images=None):
        return run("explain", *(images or [photo]), *usual(options), *options)

    return invoke
