import numpy as np
import pytest
from captum.attr import visualization as captum_visualization

from captum_clustered.visualization import visualize_image_attr, visualize_image_attr_multiple

IMAGE = np.random.default_rng(0).random((4, 5, 3))
METHODS = ["heat_map", "blended_heat_map", "masked_image", "alpha_scaling", "original_image"]


def drawn(figure, axis):
    figure.draw_without_rendering()
    return [np.asarray(image.get_array()) for image in axis.images]


# Captum cannot mask by a signed map.
SIGNED = ["heat_map", "blended_heat_map", "original_image"]
CASES = [(method, sign) for sign in ("absolute_value", "positive") for method in METHODS]
CASES += [(method, sign) for sign in ("negative", "all") for method in SIGNED]
VALUES = {"absolute_value": 0, "positive": -1, "negative": 1, "all": 0}


@pytest.mark.parametrize(("method", "sign"), CASES)
def test_maps_with_attribution_are_drawn_by_captum(method, sign):
    attr = np.linspace(-1, 1, 60).reshape(4, 5, 3)
    arguments = (attr, IMAGE, method, sign)
    ours = visualize_image_attr(*arguments, use_pyplot=False)
    theirs = captum_visualization.visualize_image_attr(*arguments, use_pyplot=False)
    for mine, captums in zip(drawn(*ours), drawn(*theirs), strict=True):
        assert (mine == captums).all()


@pytest.mark.parametrize(("method", "sign"), CASES)
def test_maps_without_attribution_are_drawn_as_zero(method, sign):
    attr = np.full((4, 5, 1), float(VALUES[sign]))
    if method != "original_image":
        with pytest.raises(AssertionError):
            captum_visualization.visualize_image_attr(attr, IMAGE, method, sign, use_pyplot=False)
    figure, axis = visualize_image_attr(
        attr, IMAGE, method, sign, use_pyplot=False, show_colorbar=True
    )
    last = drawn(figure, axis)[-1]
    if method == "original_image":
        assert (last == (IMAGE * 255).astype(last.dtype)).all()
    else:
        assert (last == 0).all()
        low, high = axis.images[-1].get_clim()
        assert method not in METHODS[:2] or low <= 0 <= high


@pytest.mark.parametrize("attr", [None, np.full((4, 5, 1), np.nan)])
@pytest.mark.parametrize("sign", VALUES)
def test_the_image_alone_needs_no_attribution(attr, sign):
    figure, axis = visualize_image_attr(
        attr, IMAGE, "original_image", sign, title="Input", use_pyplot=False
    )
    assert (drawn(figure, axis)[0] == (IMAGE * 255).astype(int)).all()
    assert axis.get_title() == "Input"


def test_mistakes():
    with pytest.raises(ValueError, match=r"attr=None is for method='original_image'; 'heat_map'"):
        visualize_image_attr(None, IMAGE, use_pyplot=False)
    attr = np.ones((4, 5, 1))
    attr[0, 0], attr[0, 1] = np.nan, np.inf
    with pytest.raises(ValueError, match="attr must be finite; 2 of its 20 values are NaN or inf"):
        visualize_image_attr(attr, IMAGE, use_pyplot=False)
    with pytest.raises(ValueError, match="2 methods, 1 signs"):
        visualize_image_attr_multiple(attr, IMAGE, ["heat_map"] * 2, ["all"], use_pyplot=False)
    with pytest.raises(ValueError, match="2 methods, 2 signs and 1 titles"):
        visualize_image_attr_multiple(
            attr, IMAGE, ["heat_map"] * 2, ["all"] * 2, ["one"], use_pyplot=False
        )
    with pytest.raises(ValueError, match="methods must name at least one"):
        visualize_image_attr_multiple(attr, IMAGE, [], [], use_pyplot=False)


def test_several_are_drawn_as_captum_does():
    attr = np.linspace(-1, 1, 60).reshape(4, 5, 3)
    arguments = (attr, IMAGE, ["original_image", "heat_map"], ["all", "positive"], ["a", "b"])
    ours = visualize_image_attr_multiple(*arguments, use_pyplot=False, show_colorbar=True)
    theirs = captum_visualization.visualize_image_attr_multiple(
        *arguments, use_pyplot=False, show_colorbar=True
    )
    for mine, captums in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_array_equal(drawn(ours[0], mine)[0], captums.images[0].get_array())
        assert mine.get_title() == captums.get_title()


def test_several_of_maps_without_attribution():
    figure, axes = visualize_image_attr_multiple(
        np.zeros((4, 5, 1)),
        IMAGE,
        ["original_image", "heat_map", "masked_image"],
        ["all", "all", "positive"],
        use_pyplot=False,
    )
    assert (drawn(figure, axes[0])[0] == (IMAGE * 255).astype(int)).all()
    assert (drawn(figure, axes[1])[0] == 0).all()
    assert (drawn(figure, axes[2])[0] == 0).all()
    _, axis = visualize_image_attr_multiple(
        None, IMAGE, ["original_image"], ["all"], use_pyplot=False
    )
    assert len(axis.images) == 1
