"""The command report, on what explain and compare have written."""

import json
import sys
from pathlib import Path

import pytest

FAST = ("--methods", "LayerGradCam", "--metrics", "average drop")


@pytest.fixture
def run_compare(run, photo):
    """Runs compare on one picture, whose name is like markup, and one that is none."""

    def invoke():
        images = Path("images")
        images.mkdir()
        photo.rename(images / "[b]<i>$x.png")
        (images / "broken.png").write_text("no image")
        usual = ("--model", "factories:net", "--layer", "1", "--size", "32", "--out", "out")
        return run("compare", *usual, "--images", images, *FAST)

    return invoke


def data_of(path):
    text = Path(path).read_text(encoding="utf-8")
    return json.loads(text.split('id="data">')[1].split("</script>")[0]), text


def test_a_run_of_explain(run, explain, photo):
    assert explain("--n-clusters", "3").exit_code == 0
    result = run("report", "out")
    assert result.exit_code == 0
    assert "Wrote out/report.html (0." in result.stdout
    data, text = data_of("out/report.html")
    assert [image["name"] for image in data["images"]] == [str(photo)]
    (clusters,) = data["images"][0]["clusters"]
    assert len(clusters["importances"]) == 3
    assert "factories:net" in text


def test_images_that_explain_left_out(run, explain, photo):
    assert explain(images=[photo, "nowhere.png"]).exit_code == 1
    assert run("report", "out").exit_code == 0
    assert "There is no file nowhere.png." in data_of("out/report.html")[1]
    assert explain().exit_code == 0
    assert run("report", "out").exit_code == 0
    assert "nowhere.png" not in data_of("out/report.html")[1]


def test_a_run_of_compare(run, run_compare):
    result = run_compare()
    assert "captum-clustered report out" in result.stdout
    assert run("report", "out", "--out", "page.html").exit_code == 0
    data, text = data_of("page.html")
    assert [image["name"] for image in data["images"]] == ["[b]<i>$x.png"]
    assert "broken.png" in text
    assert "factories:net" in text
    assert data["methods"][0] == {"name": "LayerGradCam", "is_control": False}


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: None, "run_dir='out' must be a folder that compare or explain has written; there"),
        (lambda: Path("out").mkdir(), "it is empty"),
        (lambda: Path("out").write_text(""), "it is a file"),
        (
            lambda: [Path("out").mkdir(), Path("out/manifest.json").touch()],
            "it is a folder of run, which `captum-clustered clusters` reads.",
        ),
        (
            lambda: [Path("out").mkdir(), Path("out/a.npz").write_text("x")],
            "out/a.npz is damaged: it holds no arrays.",
        ),
        (
            lambda: [
                Path("out/state").mkdir(parents=True),
                Path("out/state/settings.json").touch(),
            ],
            "out/state/settings.json is damaged or holds no settings of compare.",
        ),
    ],
)
def test_mistakes_in_one_sentence(run, make, sentence):
    make()
    result = run("report", "out")
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_page_that_cannot_be_written(run, explain):
    explain()
    result = run("report", "out", "--out", "nowhere/page.html")
    assert result.exit_code == 1
    assert "The report cannot be written" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_missing_jinja2(run, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("captum_clustered.report")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    result = run("report", "out")
    assert result.exit_code == 1
    assert "needs jinja2, which is not installed. Install captum_clustered[report]" in result.stderr
