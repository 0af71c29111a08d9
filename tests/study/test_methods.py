import pytest
import torch
from nets import GapLinear, images
from study.methods import FITTED, VIEWS, resolve, study_methods

from captum_clustered import ClusteredLayerCAM, TestTimeAugmentation
from captum_clustered.comparison.methods import METHODS

LABELS = torch.tensor([0, 1, 1, 2, 0, 2])


def built(item):
    """The attribution that compare would make of an item, on a small network."""
    net = GapLinear()
    ((name, factory),) = item.items()
    return name, factory(net, net.relu)


def test_names_of_compare_stay_and_nothing_is_fitted():
    def fit():
        raise AssertionError

    assert resolve(["LayerGradCam", "ClusteredLayerCAM(clusterer=3)"], fit) == [
        "LayerGradCam",
        "ClusteredLayerCAM(clusterer=3)",
    ]


def test_fitted_clusters_and_views_are_combined():
    names = [FITTED, f"{FITTED}, 2 views", "LayerGradCam, 4 views"]
    found = dict(map(built, resolve(names, lambda: LABELS)))
    assert list(found) == names
    assert torch.equal(found[FITTED].clusterer, LABELS)
    for name, n_views in ((names[1], 2), (names[2], 4)):
        assert isinstance(found[name], TestTimeAugmentation)
        assert len(found[name].views) == n_views == len(VIEWS[f"{n_views} views"])
    x = images(2, dtype=torch.float32)
    net = GapLinear()
    inner = ClusteredLayerCAM(net, net.relu, clusterer=LABELS)
    expected = TestTimeAugmentation(inner, VIEWS["2 views"]).attribute(x, 1)
    torch.testing.assert_close(found[names[1]].attribute(x, 1), expected)


def test_views_of_an_unknown_method_are_refused():
    with pytest.raises(
        ValueError, match=r"methods has 'ClusteredLayerCAM\(clusterer=3\), 2 views'"
    ):
        resolve(["ClusteredLayerCAM(clusterer=3), 2 views"], lambda: LABELS)


def test_the_default_methods_can_be_resolved():
    names = study_methods()
    assert names[:3] == ["ClusteredLayerCAM", "AblationCAM", FITTED]
    found = resolve(names, lambda: LABELS)
    given = [name for item in found for name in ([item] if isinstance(item, str) else item)]
    assert given == names
    assert {name for item in found if isinstance(item, str) for name in [item]} <= set(METHODS)
