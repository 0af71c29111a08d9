import gc
import os
import shutil
import sys
from pathlib import Path

import pytest

# Torch is imported in fixtures: the process that only hands tests to xdist's workers needs none.
HELPERS = Path(__file__).parent / "helpers"


def pytest_collection_modifyitems(items):
    """Begin with the zoo: as the last file, it would leave the other process without work."""
    items.sort(key=lambda item: item.path.parent.name != "zoo")


def pytest_collection_finish():
    """Keep what was imported out of garbage collection, which would look at it each time."""
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Give the same arithmetic on every machine, and leave its other cores to other workers."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def quick_disk():
    """Do not wait until the disk has each file: only a loss of power would need it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty current directory with the module ``factories``, which makes tiny networks."""
    shutil.copy(HELPERS / "small_factories.py", tmp_path / "factories.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "factories", raising=False)
    return tmp_path


@pytest.fixture
def photo(workplace) -> Path:
    """An image of 40 x 30 colors."""
    import numpy as np
    from PIL import Image

    values = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    path = workplace / "photo.png"
    Image.fromarray(values).save(path)
    return path


@pytest.fixture
def coarse_figures(monkeypatch):
    """Draws figures with few pixels and without a layout, which tests of figures look at."""
    from captum_clustered.visualization import canvas

    class Coarse(canvas.FigureCanvasAgg):
        def print_png(self, path):
            self.figure.set_layout_engine("none")
            self.figure.set_dpi(20)
            super().print_png(path)

    monkeypatch.setattr(canvas, "FigureCanvasAgg", Coarse)
