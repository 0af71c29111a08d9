import base64
import json

import numpy as np
import pytest
import torch
from made_up_runs import AWKWARD, METRICS, write_compare_run
from nets import MlpHead, images

from captum_clustered import ClusteredLayerCAM
from captum_clustered._storage.layout import RunDescription
from captum_clustered.comparison import compare
from captum_clustered.report.content import Failed
from captum_clustered.report.from_comparison import compare_report


def report_of(folder):
    return compare_report(folder / "state", RunDescription.load(folder))


@pytest.fixture
def report(tmp_path):
    write_compare_run(tmp_path)
    return report_of(tmp_path)


def test_images_are_all_there_in_their_order(report):
    assert [image.name for image in report.images] == [
        AWKWARD,
        *(f"image-{i}.png" for i in range(2, 8)),
    ]
    assert report.title == "7 methods on 7 images"
    image = report.images[1]
    assert image.facts == [
        "true class: benign",
        "predicted: benign (right)",
        "explained: benign",
    ]
    assert "predicted: <malignant> (wrong)" in report.images[2].facts
    assert report.classes == {0: "benign", 1: "<malignant>"}


def test_values_are_by_metric_and_method(report):
    assert [number.name for number in report.numbers] == list(METRICS)
    image = report.images[3]
    assert image.values[0] == [40.0, 41, 42, 43, 44, 45, 46]
    assert image.values[2] == [42.0, 43, 44, 45, 46, 47, 48]
    # Where the method failed, there is none.
    assert report.images[1].values[0][:3] == [20.0, None, 22]


def test_what_failed_is_said_in_its_place_and_in_the_list(report):
    assert report.images[1].maps[1] == Failed("ValueError: no <gradient>")
    assert report.left_out == [
        ("broken.png", "It is <no> image."),
        ("image-1.png", "ValueError: is not finite"),
        ("method 1", "ValueError: no <gradient>"),
    ]


def test_the_summary_has_means_intervals_and_marks(report):
    rows = {row.name: row for row in report.summary.rows}
    means = 10 * np.mean([0, 2, 3, 4, 5, 6, 7])
    assert [cell.order for cell in rows["method 0"].cells] == [
        pytest.approx(means),
        pytest.approx(means + 1),
        pytest.approx(means + 2),
        # Two batches of half a second.
        pytest.approx(1 / 7, rel=1e-3),
    ]
    assert rows["method 0"].tag == "reference"
    assert rows["mask"].tag == "control"
    assert rows["method 1"].tag == ""
    assert rows["method 1"].cells[0].small.endswith("] 1 missing")
    assert not any(cell.text.endswith("*") for row in report.summary.rows for cell in row.cells)


def test_what_differs_from_the_reference_has_a_star(tmp_path):
    """Twelve differences of one sign: p = 2 / 4096, times six methods."""
    write_compare_run(tmp_path, n_images=13)
    report = report_of(tmp_path)
    stars = {row.name: row.cells[0].text.endswith("*") for row in report.summary.rows}
    assert stars == {name: name != "method 0" for name in stars}


def test_is_of_a_real_comparison(tmp_path):
    """Maps are those of the method, each relative to its own largest value."""
    net, data = MlpHead(), images(3, size=(12, 10), dtype=torch.float32)
    result = compare(
        net,
        net.relu,
        data,
        ["LayerGradCam"],
        ["average drop"],
        save_to=tmp_path,
        batch_size=2,
        show_progress=False,
    )
    report = compare_report(tmp_path)
    assert [image.name for image in report.images] == ["image 0", "image 1", "image 2"]
    frame = result.frame[result.frame["method"] == "LayerGradCam"]
    values = [image.values[0][0] for image in report.images]
    np.testing.assert_allclose(values, frame["value"], rtol=1e-3)
    found = report.images[0].maps[0]
    levels = np.frombuffer(base64.b64decode(found.values), np.int8)
    assert abs(levels).max() == 127
    assert max(abs(found.low), abs(found.high)) == found.limit
    assert all(image.mask is None and image.label is None for image in report.images)
    assert report.images[0].facts[0].startswith("predicted: class ")


def test_has_the_clusters_of_a_real_comparison(tmp_path):
    net, data = MlpHead(), images(2, size=(12, 10), dtype=torch.float32)
    name = "ClusteredLayerCAM(clusterer=3, importance='shapley')"
    compare(
        net,
        net.relu,
        data,
        [name, "LayerGradCam"],
        ["average drop"],
        save_to=tmp_path,
        show_progress=False,
    )
    (found,) = compare_report(tmp_path).images[1].clusters
    assert found.title == f"{name}: 3 clusters of channels, by their Shapley value"
    cam = ClusteredLayerCAM(net, net.relu, clusterer=3, importance="shapley")
    _, clusters = cam.attribute(data, net(data).argmax(1), return_clusters=True)
    order = clusters.importances[1].argsort(descending=True)
    assert found.importances == [
        f"{value:+.3g}".replace("-", "\N{MINUS SIGN}")
        for value in clusters.importances[1][order].tolist()
    ]
    assert found.sizes == clusters.sizes[1][order].tolist()
    maps = clusters.maps[1][order]
    levels = [np.frombuffer(base64.b64decode(values), np.int8) for values in found.values]
    expected = 127 * maps.flatten(1) / maps.abs().max()
    np.testing.assert_allclose(levels, expected, atol=0.51)


def test_images_of_other_dimensions_have_a_table_alone(tmp_path):
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv1d(1, 4, 3),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool1d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 2),
    ).eval()
    data = torch.rand(3, 1, 16, generator=torch.Generator().manual_seed(0))
    compare(
        net,
        net[1],
        data,
        ["LayerGradCam"],
        ["average drop"],
        save_to=tmp_path,
        show_progress=False,
    )
    report = compare_report(tmp_path)
    assert [image.picture for image in report.images] == [None] * 3
    assert [image.maps for image in report.images] == [[]] * 3
    assert report.remarks[0].startswith("The images are not two-dimensional")
    assert len(report.summary.rows) == 5


def test_a_run_that_is_not_finished_says_so(tmp_path):
    write_compare_run(tmp_path)
    (tmp_path / "state" / "finished.json").unlink()
    (tmp_path / "state" / "batch-000001.json").unlink()
    (tmp_path / "run.json").unlink()
    report = report_of(tmp_path)
    assert "Not finished" in dict(report.facts)
    assert [image.name for image in report.images] == ["image 0", "image 2", "image 3"]


def test_more_images_than_names(tmp_path):
    write_compare_run(tmp_path)
    description = json.loads((tmp_path / "run.json").read_text())
    description["names"] = description["names"][:5]
    (tmp_path / "run.json").write_text(json.dumps(description))
    report = report_of(tmp_path)
    assert [image.name for image in report.images][3:] == [
        "image-4.png",
        "image 5",
        "image 6",
        "image 7",
    ]


def test_clusters_are_those_of_each_method_that_has_some(report):
    first, second = report.images[0].clusters
    assert first.title == "method 0: 3 clusters of channels, by the drop in the score without them"
    assert "clusterings" not in first.scale
    assert second.title.startswith("method 1: 3 clusters")
    assert second.scale.endswith("These are the first of the 5 clusterings that the map averages.")
    assert "The map of a cluster is its share of its method's map." in report.remarks
    # It failed on image 2.
    assert [each.title.split(":")[0] for each in report.images[1].clusters] == ["method 0"]


def test_a_run_without_clusters_says_why(tmp_path):
    write_compare_run(tmp_path, n_clustered=0)
    report = report_of(tmp_path)
    assert not any(image.clusters for image in report.images)
    assert report.remarks[-1].startswith("There are no clusters: only a ClusteredLayerCAM")


def test_large_maps_are_said_to_be_shrunk(tmp_path, monkeypatch):
    write_compare_run(tmp_path)
    monkeypatch.setattr("captum_clustered.report.from_comparison.MAP_BYTES", 1000)
    # Three of each of two methods on seven images, but one failed on one of them.
    monkeypatch.setattr("captum_clustered.report.from_comparison.CLUSTER_BYTES", 39 * 9)
    report = report_of(tmp_path)
    for sentence in ("Maps of more than 4 x 4", "Maps of clusters of more than 3 x 3"):
        assert any(remark.startswith(sentence) for remark in report.remarks)
    assert max(found.width for found in report.images[0].maps) == 4
    assert {found.width for found in report.images[0].clusters} == {3}


def test_no_image_was_compared(tmp_path):
    write_compare_run(tmp_path, n_images=4)
    path = tmp_path / "state" / "batch-000000.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"images": [], "values": {}, "costs": {}}))
    with pytest.raises(ValueError, match="no image that was compared"):
        report_of(tmp_path)
