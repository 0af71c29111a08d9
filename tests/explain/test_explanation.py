"""An explanation that is saved and loaded."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from captum_clustered.explain import ExplainerSettings, Explanation

# All that is needed, but a list for a dictionary.
BAD_NAMES = json.dumps(
    dict.fromkeys(("image", "model", "weights", "gradcam_missing", "preprocessing"))
    | ExplainerSettings().to_json()
    | {"class_names": [], "notes": []}
)


@pytest.fixture
def explanation():
    generator = np.random.default_rng(0)
    return Explanation(
        attribution=generator.normal(size=(2, 3)).astype(np.float32),
        gradcam=generator.normal(size=(2, 3)),
        labels=np.array([0, 2, 2, 0]),
        importances=np.array([-0.5, 0.0, 2.0]),
        maps=generator.normal(size=(3, 2, 3)),
        sizes=np.array([2, 0, 2]),
        score=1.5,
        baseline_score=-0.5,
        target=1,
        probabilities=np.array([0.75, 0.125, 0.0625, 0.03125, 0.015625, 0.015625]),
        input_image=generator.integers(0, 256, (4, 6, 3), dtype=np.uint8),
        original_image=generator.integers(0, 256, (5, 9, 3), dtype=np.uint8),
        seen=(0.0, 0.25, 1.0, 0.75),
        settings=ExplainerSettings(
            "layer4", target=1, clusters=(0, 2, 2, 0), views=("identity", "hflip")
        ),
        class_names={0: "cat", 1: "<dog>"},
        image="a/$b.png",
        model="net",
        weights="w.pt",
        preprocessing="resized to 32 x 32, values from 0 to 1",
        gradcam_missing="",
        notes=("one", "two"),
    )


def assert_equal(found, expected):
    for field in fields(Explanation):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(other, np.ndarray):
            np.testing.assert_array_equal(one, other, err_msg=field.name)
            assert one.dtype == other.dtype
        else:
            assert one == other, field.name
            assert type(one) is type(other), field.name


def test_is_the_same_after_loading(explanation, tmp_path):
    explanation.save(tmp_path / "a.b.npz")
    assert_equal(Explanation.load(str(tmp_path / "a.b.npz")), explanation)


@pytest.mark.parametrize("number", [np.int64, torch.tensor])
def test_a_target_may_be_a_number_of_numpy_or_torch(explanation, tmp_path, number):
    settings = ExplainerSettings("layer4", target=number(1))
    replace(explanation, settings=settings).save(tmp_path / "a.npz")
    assert Explanation.load(tmp_path / "a.npz").settings.target == 1


def test_says_in_one_line_what_it_is(explanation):
    assert repr(explanation) == (
        "Explanation('a/$b.png': <dog>, probability 12.5%, logit 1.5; map 2 x 3, 2 clusters, "
        "layer 'layer4')"
    )


def test_is_drawn_on_the_original_image_if_that_is_known(explanation):
    assert explanation.picture is explanation.original_image
    bare = replace(explanation, original_image=None)
    assert bare.picture is explanation.input_image


def test_without_gradcam_weights_and_clusters(explanation, tmp_path):
    bare = replace(
        explanation,
        gradcam=None,
        original_image=None,
        gradcam_missing="no gradient",
        weights=None,
        settings=ExplainerSettings("layer4", clusters="labels.pt"),
        notes=(),
    )
    bare.save(tmp_path / "a.npz")
    assert_equal(Explanation.load(tmp_path / "a.npz"), bare)


def test_the_file_is_for_others_too(explanation, tmp_path):
    explanation.save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        np.testing.assert_array_equal(arrays["attribution"], explanation.attribution)
        facts = json.loads(str(arrays["settings"]))
    assert facts["predicted_class"] == "cat"
    assert facts["class_name"] == "<dog>"
    assert facts["probability"] == 0.125
    assert facts["layer"] == "layer4"
    assert facts["scaling"] == "drop"


def test_classes_and_clusters_in_their_order(explanation):
    assert explanation.prediction == 0
    assert explanation.probability == 0.125
    assert explanation.top_classes() == [0, 1, 2, 3, 4]
    assert replace(explanation, target=5).top_classes() == [0, 1, 2, 3, 4, 5]
    assert explanation.by_importance() == [2, 0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x", "is damaged: it holds no arrays"),
        ({"maps": 1}, "is no result of explain, or is damaged: it has no attribution and no"),
        ({"settings": "[]"}, "is no result of explain, or is damaged: it has no settings"),
        ({"settings": "x"}, "is no result of explain, or is damaged: it has no settings"),
        ({"maps": np.array(1), "settings": "{}"}, "is of an older version of explain"),
        ({"settings": BAD_NAMES}, "is no result of explain, or is damaged: 'list' object"),
        ({"settings": "{}"}, "is of an older version of explain: it has no image"),
    ],
)
def test_other_files(explanation, tmp_path, content, message):
    path = tmp_path / "a.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif "settings" in content:
        explanation.save(path)
        with np.load(path) as arrays:
            values = dict(arrays)
        with path.open("wb") as file:
            np.savez(file, **values | content)
    else:
        with path.open("wb") as file:
            np.savez(file, **content)
    with pytest.raises(ValueError, match=f"a.npz {message}"):
        Explanation.load(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        Explanation.load(tmp_path / "a.npz")
