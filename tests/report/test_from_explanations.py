import json
from dataclasses import replace

import numpy as np
import pytest
from made_up_runs import AWKWARD, write_explain_run

from captum_clustered.explain import Explanation
from captum_clustered.report.content import Failed
from captum_clustered.report.from_explanations import explain_report


def report_of(folder, **settings):
    write_explain_run(folder, **settings)
    return explain_report(sorted(folder.glob("*.npz")), folder / "left_out.json")


def test_negative_scores_have_a_true_minus(tmp_path):
    report = report_of(tmp_path, baseline_score=-0.5)
    assert report.images[0].facts[2] == "logit 3.25, without the layer \N{MINUS SIGN}0.5"
    cell = report.summary.rows[0].cells[3]
    assert (cell.text, cell.order) == ("\N{MINUS SIGN}0.5", -0.5)


def test_images_have_their_classes_and_scores(tmp_path):
    report = report_of(tmp_path)
    assert report.title == "Explanations of 3 images"
    assert [image.name for image in report.images] == [AWKWARD, "image-1.png", "image-2.png"]
    assert report.images[0].facts == [
        "explained: <dog> (25.0%)",
        "predicted: cat",
        "logit 3.25, without the layer 0.5",
    ]
    assert [image.values for image in report.images] == [
        [[0.25], [3.25]],
        [[0.875], [2.25]],
        [[0.875], [1.25]],
    ]
    assert report.classes == {0: "cat", 1: "<dog>"}


def test_an_image_is_shown_whole_in_its_own_proportions(tmp_path):
    write_explain_run(tmp_path)
    (path, *others) = sorted(tmp_path.glob("*.npz"))
    explanation = Explanation.load(path)
    # All of it, cropped, and padded.
    for seen in ((0.0, 0.0, 1.0, 1.0), (0.0, 0.25, 1.0, 0.75), (-0.5, 0.0, 1.5, 1.0)):
        original = np.zeros((40, 80, 3), np.uint8)
        replace(explanation, original_image=original, seen=seen).save(path)
        (image, *_) = explain_report([path, *others], tmp_path / "left_out.json").images
        assert (image.height, image.width) == (40, 80)
        assert tuple(image.seen) == seen


def test_an_image_has_the_clusters_of_its_one_map(tmp_path):
    (found,) = report_of(tmp_path).images[0].clusters
    assert found.title == "3 clusters of channels, by the drop in the score without them (logit)"
    assert found.importances == ["+2.5", "0", "\N{MINUS SIGN}0.5"]
    assert found.sizes == [7, 1, 4]
    assert found.ranges[1] == (0, 0)


def test_maps_share_a_scale_where_they_share_a_unit(tmp_path):
    maps = report_of(tmp_path / "density", scaling="density").images[0].maps
    assert maps[0].limit == maps[1].limit
    image = report_of(tmp_path / "drop", scaling="drop").images[0]
    for found in image.maps:
        assert found.limit == max(abs(found.low), abs(found.high))
    assert image.maps[0].limit != image.maps[1].limit
    assert image.scale.startswith("Each map is colored relative to its own largest")


def test_a_missing_gradcam_has_its_reason(tmp_path):
    assert report_of(tmp_path).images[-1].maps[1] == Failed("no <gradient>")


def test_a_consensus_is_said_not_to_be_that_of_the_clusters(tmp_path):
    report = report_of(tmp_path, n_clusterings=5, importance="shapley")
    assert report.remarks == []
    (found,) = report.images[0].clusters
    assert found.title == "3 clusters of channels, by their Shapley value (logit)"
    assert found.scale.endswith("These are the first of the 5 clusterings that the map averages.")


def test_views_are_named_and_clusters_are_said_to_be_the_images(tmp_path):
    report = report_of(tmp_path, views=("identity", "zoom(1.15)"))
    assert dict(report.facts)["Views"] == "identity, zoom(1.15)"
    assert report.remarks == [
        "Maps are means over views of the image; clusters are those of the image itself."
    ]


def test_every_setting_that_is_given_is_named(tmp_path):
    facts = dict(report_of(tmp_path, layer_baselines=0.5, clusters=(0, 1, 1)).facts)
    assert facts.items() >= {"Model": "a network", "Layer": "layer4", "Seed": "0"}.items()
    assert facts.items() >= {"Clusterings": "1", "Layer baselines": "0.5"}.items()
    assert facts["Clusters"] == "given for 3 channels"
    assert not {"Target", "Perturbations per eval", "Views"} & set(facts)


def test_several_runs_in_a_folder_have_all_their_settings_named(tmp_path):
    write_explain_run(tmp_path, layer="layer3", layer_input=True, n_images=1)
    (tmp_path / "0.npz").rename(tmp_path / "other.npz")
    write_explain_run(tmp_path, n_images=1)
    report = explain_report(sorted(tmp_path.glob("*.npz")), tmp_path / "left_out.json")
    assert dict(report.facts)["Layer"] == "layer4, input of layer3"


def test_left_out_images(tmp_path):
    assert report_of(tmp_path).left_out == [("broken.png", "It is <no> image.")]
    (tmp_path / "left_out.json").unlink()
    assert explain_report([tmp_path / "0.npz"], tmp_path / "left_out.json").left_out == []
    for content in ("", "{}x", "[1]"):
        (tmp_path / "left_out.json").write_text(content)
        with pytest.raises(ValueError, match=r"left_out\.json is damaged"):
            explain_report([tmp_path / "0.npz"], tmp_path / "left_out.json")


def test_damaged_and_foreign_arrays(tmp_path):
    write_explain_run(tmp_path, n_images=1)
    path = tmp_path / "0.npz"
    whole = path.read_bytes()
    for content in (b"", b"text", whole[:100], whole[:-30]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"0\.npz is damaged: it holds no arrays"):
            explain_report([path], tmp_path / "left_out.json")
    np.savez(path, attribution=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="no result of explain, or is damaged: it has no labels"):
        explain_report([path], tmp_path / "left_out.json")


@pytest.mark.parametrize(
    "changed",
    [
        {"maps": np.zeros(3)},
        {"attribution": np.zeros((2, 2, 2))},
        {"input_image": np.zeros((4, 4))},
        {"importances": np.array(["a", "b", "c", "d"])},
    ],
)
def test_arrays_of_other_shapes_and_kinds(tmp_path, changed):
    write_explain_run(tmp_path, n_images=1)
    path = tmp_path / "0.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **arrays | changed)
    with pytest.raises(ValueError, match=r"0\.npz is no result of explain, or is damaged"):
        explain_report([path], tmp_path / "left_out.json")


def test_an_older_version_is_named(tmp_path):
    write_explain_run(tmp_path, n_images=1)
    path = tmp_path / "0.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    settings = json.loads(str(arrays["settings"]))
    del settings["class_names"]
    np.savez(path, **arrays | {"settings": json.dumps(settings)})
    with pytest.raises(ValueError, match="older version of explain: it has no class_names"):
        explain_report([path], tmp_path / "left_out.json")
    np.savez(path, **arrays | {"settings": "[]"})
    with pytest.raises(ValueError, match="it has no settings"):
        explain_report([path], tmp_path / "left_out.json")
