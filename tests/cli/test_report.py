"""The command report, on what explain and compare have written."""

import json
import sys
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

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
    size = round(Path("out/report.html").stat().st_size / 1000)
    assert f"Wrote out/report.html ({size} kB)" in result.stdout
    data, text = data_of("out/report.html")
    # The page goes to others, who need not know the folder.
    assert [image["name"] for image in data["images"]] == [photo.name]
    assert str(photo.parent) not in text
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


def test_images_of_compare_have_their_own_proportions(run, workplace):
    """A wide and a square one, which the network sees as squares; the mask is the left half."""
    for name, size in {"wide": (256, 201), "square": (40, 40)}.items():
        for folder, color in (("images", (0, 0, 200)), ("masks", (0, 0, 0))):
            path = Path(folder, f"{name}.png")
            path.parent.mkdir(exist_ok=True)
            picture = Image.new("RGB", size, color)
            if folder == "masks":
                picture.paste((255, 255, 255), (0, 0, size[0] // 2, size[1]))
            picture.save(path)
    usual = ("--model", "factories:net", "--layer", "1", "--size", "32", "--out", "out")
    result = run("compare", *usual, "--images", "images", "--masks", "masks", *FAST)
    assert result.exit_code == 0, result.output
    assert run("report", "out").exit_code == 0
    data, text = data_of("out/report.html")
    square, wide = data["images"]
    assert (square["height"], square["width"]) == (40, 40)
    # 224 pixels are the longest that a page has.
    assert (wide["height"], wide["width"]) == (176, 224)
    assert wide["mask"] == [0, *[112] * 351, 112]
    assert wide["seen"] == [0, 0, 1, 1]
    assert "stretched to their own range" not in text
    with Image.open(BytesIO(b64decode(wide["picture"]))) as picture:
        assert picture.size == (224, 176)
        assert picture.convert("RGB").getpixel((100, 100))[2] == pytest.approx(200, abs=8)


@pytest.fixture
def run_data(run):
    """Explains a wide and a square picture of each of two classes, with clusters of them all."""

    def invoke(*options):
        for i, (name, size) in enumerate({"a": (64, 32), "b": (64, 32), "c": (32, 32)}.items()):
            path = Path("data", ("even", "odd")[i % 2], f"{name}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", size, (40 * i + 40, 0, 0)).save(path)
        usual = ("--model", "factories:net", "--layer", "1", "--size", "32", "--out", "out")
        small = ("--batch-size", "2", "--chunk-size", "2", "--num-workers", "0", "--fit", "all")
        result = run("run", "--data", "data", *usual, *small, "--class-names", "even,odd,x")
        assert result.exit_code == 0, result.output

    return invoke


def test_a_folder_of_run_with_its_pictures_read_again(run, run_data):
    run_data()
    result = run("report", "out")
    assert result.exit_code == 0, result.output
    assert "Wrote out/report.html (" in result.stdout
    data, text = data_of("out/report.html")
    images = {image["name"]: image for image in data["images"]}
    assert set(images) == {"even/a.png", "even/c.png", "odd/b.png"}
    # At its own proportions.
    assert (images["even/a.png"]["height"], images["even/a.png"]["width"]) == (32, 64)
    with Image.open(BytesIO(b64decode(images["odd/b.png"]["picture"]))) as picture:
        assert picture.convert("RGB").getpixel((9, 9))[0] == pytest.approx(80, abs=6)
    assert images["odd/b.png"]["facts"][0] == "true class: odd"
    assert "factories:net" in text
    assert "Cluster 0" in text


def test_a_moved_picture_of_a_run_leaves_its_map(run, run_data):
    run_data()
    Path("data/odd/b.png").write_text("no image")
    assert run("report", "out").exit_code == 0
    (image,) = [each for each in data_of("out/report.html")[0]["images"] if "odd" in each["name"]]
    assert image["picture"] is None
    assert image["facts"][-1].startswith("the image cannot be read again: ")
    assert (image["height"], image["width"]) == (32, 32)
    Path("data/odd/b.png").unlink()
    result = run("report", "out")
    assert result.exit_code == 1
    assert "was made with other" in result.stderr


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: None, "There is no folder out."),
        (lambda: Path("out").mkdir(), "it is empty"),
        (lambda: Path("out").write_text(""), "it is a file"),
        (
            lambda: [Path("out").mkdir(), Path("out/manifest.json").touch()],
            "out/manifest.json is damaged or not the manifest of a run",
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
    assert (
        "needs jinja2, which is not installed: pip install captum_clustered[report]"
        in result.stderr
    )
