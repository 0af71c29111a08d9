import json
import math
import subprocess
import sys
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from nets import GapLinear, MlpHead, images
from PIL import Image
from small_comparisons import FAST, pictures, run

from captum_clustered.comparison import compare
from captum_clustered.data import ImageBatches, ImageList, make_preprocessing
from captum_clustered.metrics._masking import explanation_mask

FIGURES = ["metrics", "curves", "gallery"]


def known(case):
    """1 for each right, 0 for each wrong prediction; the reference has 2 more on image 0."""
    value = (case.labels == case.forward_func(case.inputs).argmax(1)).double()
    if case.method == "LayerGradCam":
        value[0] += 2
    return value


def test_summary_by_hand():
    result = run(metrics={"known": known})
    summary = result.summary().set_index("method")
    right = result.frame[result.frame["method"] == "random"]["value"].mean()
    assert summary.loc["random", "mean"] == pytest.approx(right)
    # One image in each of three batches of two has 2 more.
    assert summary.loc["LayerGradCam", "mean"] == pytest.approx(right + 1)
    assert summary.loc["random", "difference"] == pytest.approx(-1)
    # -2 -2 -2 0 0 0: 2 of 8 sign patterns are as extreme; six methods, then.
    assert summary.loc["random", "p"] == pytest.approx(0.25)
    assert summary.loc["random", "p_holm"] == 1
    assert math.isnan(summary.loc["LayerGradCam", "difference"])


def test_clusters():
    result = run(metrics={"known": known})
    by_class = result.summary("class")
    assert by_class["class"].unique().tolist() == [0, 1, 2]
    assert (by_class["n"] == 2).all()
    by_correct = result.summary("correct").set_index(["correct", "method"])["mean"]
    for correct in by_correct.index.unique(0):
        assert by_correct[correct, "random"] == float(correct)
    with pytest.raises(ValueError, match="by='weather' must be 'class', 'correct' or None"):
        result.summary("weather")
    unlabeled = run(data=pictures()[0])
    assert set(unlabeled.summary("class")["class"]) == set(unlabeled.frame["prediction"])
    assert unlabeled.frame["label"].isna().all()
    assert unlabeled.frame["correct"].isna().all()
    with pytest.raises(ValueError, match="needs labels"):
        unlabeled.summary("correct")


def test_markdown():
    result = run(metrics=["average drop", "increase in confidence", "energy ring"])
    text = result.to_markdown()
    assert "average drop ↓" in text
    assert "increase in confidence ↑" in text
    assert "| energy ring " in text
    assert "*Fake-CAM*" in text
    assert "forward examples/image" in text
    assert "peak memory" not in text
    assert text.startswith("| method")
    assert "**class: 1**" in result.to_markdown(by="class")


def test_csv_keeps_all_digits(tmp_path):
    result = run()
    result.to_csv(tmp_path / "table.csv")
    read = pd.read_csv(tmp_path / "table.csv", float_precision="round_trip")
    assert read["value"].tolist() == result.frame["value"].tolist()
    assert read.columns.tolist() == [
        "image",
        "label",
        "prediction",
        "correct",
        "target",
        "method",
        "metric",
        "value",
        "seconds",
        "forward_examples",
        "peak_memory",
    ]


@pytest.mark.parametrize("kind", FIGURES)
def test_figures(kind, tmp_path):
    metrics = ["average drop", "insertion", "insertion - deletion", "complexity"]
    figure = run(metrics=metrics).plot(kind)
    figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    assert not plt.get_fignums()


def test_the_gallery_shows_what_metrics_see():
    result = run(metrics=["complexity"], data=pictures(8))
    assert [image.number for image in result.gallery] == [0, 1, 2, 3, 4, 5]
    figure = result.plot("gallery")
    # And the color bar.
    assert len(figure.axes) == 6 * (len(result.methods) + 1) + 1
    columns = len(result.methods) + 1
    # Images are smaller than pictures may be, so nothing was shrunk.
    maps = torch.from_numpy(result.gallery[2].maps["random"])[None, None]
    mask = explanation_mask(maps, torch.zeros(1, 1, 12, 10)).ravel()
    axis = figure.axes[2 * columns + 1 + result.methods.index("random")]
    assert np.asarray(axis.images[1].get_array()).ravel() == pytest.approx(mask)


def test_figures_of_what_is_not_there():
    with pytest.raises(ValueError, match="kind='pie' must be one of 'metrics'"):
        run().plot("pie")
    with pytest.raises(ValueError, match="Curves need 'insertion'"):
        run().plot("curves")
    net = GapLinear(dims=1)
    x = images(2, size=(9,), dtype=torch.float32)
    one_dimensional = compare(net, net.relu, x, ["LayerGradCam"], **FAST)
    with pytest.raises(ValueError, match="A gallery needs 2-D images"):
        one_dimensional.plot("gallery")


def test_figures_with_failures():
    def moody(case):
        raise RuntimeError("no")

    def broken(forward_func, layer):
        raise RuntimeError("never")

    with pytest.warns(UserWarning, match="failed"):
        result = run(
            methods=["LayerGradCam", {"broken": broken}],
            metrics=["insertion", {"moody": moody}],
        )
    for kind in FIGURES:
        result.plot(kind).draw_without_rendering()
    assert "- " in result.to_markdown()


def test_nothing_worked():
    x = torch.full((2, 2, 6, 6), float("nan"))
    with pytest.warns(UserWarning, match="not finite"):
        result = run(data=x)
    assert result.frame.empty
    assert result.summary()["mean"].isna().all()
    assert "Failures" in result.to_markdown()


def test_volumes():
    net = GapLinear(dims=3)
    x = images(2, size=(5, 6, 4), dtype=torch.float32)
    masks = torch.zeros(2, 5, 6, 4)
    masks[:, 2:4, 1:4] = 1
    data = (x, torch.tensor([0, 1]), masks)
    result = compare(net, net.relu, data, ["ClusteredLayerCAM"], show_progress=False)
    assert not len(result.failures)
    assert np.isfinite(result.frame["value"]).any()


def test_without_pandas():
    script = "import sys; sys.modules['pandas'] = None; import captum_clustered.comparison"
    process = subprocess.run(  # noqa: S603
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (
        "needs pandas, which is not installed: pip install captum_clustered[comp" in process.stderr
    )


@pytest.mark.parametrize("metrics", [["complexity"], ["complexity", "average drop"]])
def test_the_note_below_metrics_fits_the_figure(metrics):
    figure = run(metrics=metrics).plot("metrics")
    figure.draw_without_rendering()
    box = figure._supxlabel.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1


def test_clusters_have_their_sizes_and_share_one_legend():
    x, labels, masks = pictures(5)
    result = run(data=(x, labels, masks), metrics=["complexity"])
    text = result.to_markdown(by="class")
    assert "**class: 0** (2 images)" in text
    assert "**class: 2** (1 image)\n" in text
    assert text.count("forward examples/image") == 1
    assert text.count("5 images; mean") == 1
    tables = result.to_markdown(by="class", details=False)
    assert text.startswith(tables.rstrip("\n"))
    assert "forward examples/image" not in tables


@pytest.mark.parametrize("kind", ["metrics", "curves"])
def test_a_long_name_of_a_method_has_room(kind):
    name = "TestTimeAugmentation(ClusteredLayerCAM(clusterer=3), views=['identity', 'zoom(1.15)'])"
    figure = run(methods=[name], metrics=["insertion"]).plot(kind)
    with warnings.catch_warnings():
        # Where labels leave no room, the layout is given up with a warning.
        warnings.simplefilter("error")
        figure.draw_without_rendering()
    axes = figure.axes[0].get_window_extent()
    assert axes.width > figure.bbox.width / 3


def test_tables_and_figures_when_nothing_worked():
    x, labels, _ = pictures()
    with pytest.warns(UserWarning, match="not finite"):
        result = run(data=(x * float("nan"), labels), metrics=["insertion"])
    for by in ("class", "correct"):
        summary = result.summary(by)
        assert summary.empty
        assert summary.columns.tolist() == [by, *result.summary().columns]
        assert "Failures" in result.to_markdown(by)
    with pytest.raises(ValueError, match=r"No image has curves .*see failures"):
        result.plot("curves")


def test_infinite_values_are_missing():
    def some(case):
        found = case.attributions.mean((1, 2, 3))
        if case.method == "random":
            found[0] = float("inf")
        return found

    row = run(metrics={"some": some}).summary().set_index("method").loc["random"]
    assert (row["n"], row["missing"], row["pairs"]) == (3, 3, 3)
    assert math.isfinite(row["mean"])
    assert 0 < row["p"] <= 1


def test_a_gallery_with_names():
    result = run(metrics=["complexity"])
    result.names = [f"a-rather-long-name-{i}.png" for i in range(6)]
    labels = [axis.get_ylabel() for axis in result.plot("gallery").axes]
    assert "…long-name-0.png" in labels[0]


def test_the_gallery_says_what_each_image_is_and_outlines_its_object():
    inputs, labels, masks = pictures()
    result = run(metrics=["complexity"], data=(inputs, labels, masks), target=2)
    result.names = [f"{i}.png" for i in range(len(inputs))]
    result.classes = {0: "benign", 1: "malignant"}
    outputs = MlpHead()(inputs).softmax(1)
    figure = result.plot("gallery", keep_colors=True)
    columns = len(result.methods) + 1
    for i, item in enumerate(result.gallery):
        predicted = int(outputs[i].argmax())
        assert (item.mask == masks[i].numpy()).all()
        lines = figure.axes[i * columns].get_ylabel().replace("\n", " ")
        assert lines.startswith(f"{i}.png true: {result.class_name(int(labels[i]))} predicted: ")
        assert f"{result.class_name(predicted)} {outputs[i, predicted]:.0%}" in lines
        assert ("explained: class 2" in lines) == (predicted != 2)
    titles = [axis.get_title() for axis in figure.axes[1:columns]]
    marked = [m for m, title in zip(result.methods, titles, strict=True) if "(control)" in title]
    assert marked == result.controls
    (legend,) = figure.legends
    assert "outline of the mask" in [text.get_text() for text in legend.get_texts()]


def test_a_result_is_said_in_one_line():
    result = run(metrics=["complexity"], methods=["LayerGradCam", "random"])
    assert repr(result) == ("Comparison(6 methods, 6 images, 1 metrics, reference 'LayerGradCam')")


def test_each_image_and_each_reason_of_a_method_once():
    def moody(case):
        raise RuntimeError("no")

    images, _, _ = pictures()
    images[1] = float("nan")

    def loader():
        yield images[:3]
        raise OSError("no more")

    with pytest.warns(UserWarning, match="not complete"):
        result = run(data=loader(), methods="LayerGradCam", metrics={"moody": moody})
    assert result.left_out()[0][0] == "image 1"
    result.names = ["a", "b", "c"]
    found = result.left_out()
    assert found[0] == ("b", "ValueError: forward_func gives logits that are not finite.")
    assert found[1] == ("LayerGradCam, moody", "RuntimeError: no")
    assert found[-1][0] == "further images"
    assert "no more" in found[-1][1]
    assert len(found) == len(set(found)) == 1 + 5 + 1


def net():
    """A network of colors, whose layer relu is compared."""
    found = MlpHead()
    found.trunk[0] = torch.nn.Conv2d(3, 4, 3, padding=1)
    return found


class TestFiles:
    """Images in files: three of 24 x 12 in folders of two classes, and one that is no image."""

    @pytest.fixture
    def compared(self, tmp_path):
        for i, (name, label) in enumerate({"a": "cat", "b": "dog", "c": "cat", "d": "dog"}.items()):
            file = tmp_path / "images" / label / f"{name}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (24, 12), (60 * i + 60, 0, 60)).save(file)
        file.write_text("no image")
        listed = ImageList(
            tmp_path / "images",
            transform=make_preprocessing(size=12),
            classes=["cat", "dog", "cow"],
        )
        folder = tmp_path / "out"
        data = ImageBatches(listed, 2)
        return run(net(), data, "LayerGradCam", save_to=folder / "state"), folder

    def test_names_classes_and_original_images_are_in_figures(self, compared):
        result, _ = compared
        assert result.names == ["cat/a.png", "cat/c.png", "dog/b.png"]
        assert result.class_name(1) == "dog"
        assert [item.picture[0, 0].tolist() for item in result.gallery] == [
            [60, 0, 60],
            [180, 0, 60],
            [120, 0, 60],
        ]
        assert {item.picture.shape for item in result.gallery} == {(12, 24, 3)}

    def test_what_could_not_be_read_is_left_out(self, compared):
        result, _ = compared
        ((name, reason),) = result.left_out()
        assert name == "dog/d.png"
        assert "is not an image" in reason

    def test_saves_tables_figures_and_what_the_report_needs(self, compared):
        result, folder = compared
        with pytest.warns(UserWarning, match="curves.png is left out: Curves need"):
            written = result.save(folder, "# Mine\n\n", {"Model": "mlp"})
        assert written == ["results.csv", "summary.md", "metrics.png", "gallery.png"]
        assert all((folder / name).stat().st_size for name in written)
        frame = pd.read_csv(folder / "results.csv")
        assert frame["file"].tolist() == [result.names[number] for number in frame["image"]]
        np.testing.assert_allclose(frame["value"], result.frame["value"])
        text = (folder / "summary.md").read_text(encoding="utf-8")
        assert text.startswith("# Mine\n\n| method")
        assert "## Right and wrong predictions\n\n**correct:" in text
        description = json.loads((folder / "run.json").read_text())
        assert description["facts"] == {"Model": "mlp"}
        assert description["names"] == result.names
        assert [name for name, _ in description["left_out"]] == ["dog/d.png"]
        assert description["classes"].items() >= {"0": "cat", "1": "dog"}.items()

    def test_without_files_there_are_no_names(self, tmp_path):
        result = run(methods="LayerGradCam", data=images(2, size=(12, 10), dtype=torch.float32))
        with pytest.warns(UserWarning, match="left out"):
            result.save(tmp_path)
        assert "file" not in pd.read_csv(tmp_path / "results.csv").columns
        assert "Right and wrong" not in (tmp_path / "summary.md").read_text(encoding="utf-8")
