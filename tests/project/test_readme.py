"""The README's examples run as they are printed."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captum_clustered import models
from captum_clustered.explain import Explanation

README = Path(__file__).parents[2] / "README.md"


def examples():
    return re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def test_it_is_short():
    assert len(README.read_text().splitlines()) <= 200


def test_no_path_of_a_machine():
    assert not re.search(r"(?<![\w.])/(work|home|root|tmp|Users|mnt)/", README.read_text())


def headings(page):
    titles = re.findall(r"(?m)^#+ (.*)", page.read_text())
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_each_link_leads_to_a_file_and_a_heading():
    for link in re.findall(r"\]\((?!https?:)([^)]+)", README.read_text()):
        path, _, anchor = link.partition("#")
        page = README.parent / path
        assert page.is_file(), link
        assert not anchor or anchor in headings(page), link


@pytest.mark.filterwarnings("ignore")
def test_your_own_image(tmp_path, monkeypatch):
    zoo = pytest.importorskip("torchvision.models", reason="needs the extra cli")
    load_model = models.load_model
    # Nothing is downloaded: random weights.
    monkeypatch.setattr(models, "load_model", lambda name: load_model(zoo.get_model(name)))
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("cat.jpg")
    (code,) = examples()
    exec(compile(code, README.name, "exec"), {})  # noqa: S102
    assert (tmp_path / "cat.png").stat().st_size > 10_000
    assert Explanation.load("cat.npz").settings.score == "margin"
