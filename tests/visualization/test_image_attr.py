import numpy as np
import pytest
from captum.attr import visualization as captum_visualization

from captum_clustered.visualization import visualize_image_attr

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
