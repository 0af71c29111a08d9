import sys
from pathlib import Path

import numpy as np
import pytest
import small_factories
import torch
from PIL import Image


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Give the same arithmetic on every machine, and leave its other cores to other workers."""
    torch.set_num_threads(1)


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty current directory with the module ``factories``, which makes tiny networks."""
    (tmp_path / "factories.py").write_text(Path(small_factories.__file__).read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "factories", raising=False)
    return tmp_path


@pytest.fixture
def photo(workplace) -> Path:
    """An image of 40 x 30 colors."""
    values = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    path = workplace / "photo.png"
    Image.fromarray(values).save(path)
    return path
