import numpy as np
import pytest
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image

from captum_clustered.visualization import visualize_methods

IMAGES = torch.rand(2, 3, 6, 8, generator=torch.Generator().manual_seed(0))
ONES = torch.ones(2, 1, 2, 2)
MAPS = {"small": ONES * torch.tensor([1.0, 2.0])[:, None, None, None], "large": -8 * ONES}


def draw(maps=MAPS, images=IMAGES, **options):
    figure, axes = visualize_methods(maps, images, use_pyplot=False, **options)
    figure.draw_without_rendering()
    return figure, axes


def limits(axes):
    return [[axis.images[1].get_clim()[1] for axis in row[1:]] for row in axes]


def test_a_row_for_each_image_and_a_column_for_each_method():
    _, axes = draw(names=["$a_", "b"])
    assert axes.shape == (2, 3)
    assert [axis.get_title() for axis in axes[0]] == ["input", "small", "large"]
    assert [axis.get_ylabel() for axis in axes[:, 0]] == ["$a_", "b"]
    assert (axes[1, 1].images[1].get_array() == 2).all()
    shown = np.asarray(axes[1, 0].images[0].get_array())
    assert shown == pytest.approx(IMAGES[1].permute(1, 2, 0).numpy())


def test_one_scale_for_all():
    figure, axes = draw(label="share of the logit")
    assert limits(axes) == [[8, 8], [8, 8]]
    assert figure.axes[-1].get_ylabel() == "share of the logit"
    assert figure.axes[-1].get_ylim() == (-8, 8)


def test_a_given_scale():
    figure, axes = draw(limit=4.0)
    assert limits(axes) == [[4, 4], [4, 4]]
    assert figure.axes[-1].get_ylim() == (-4, 4)


def test_or_each_map_on_its_own_which_the_figure_says():
    figure, axes = draw(scale="own", label="logit")
    assert limits(axes) == [[1, 8], [2, 8]]
    assert figure.axes[-1].get_ylabel() == "each map on\nits own scale"
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "+0.25 of the largest value, for the class",
        "\u22120.25 of the largest value, against the class",
    ]
    assert figure.axes[-1].get_ylim() == (-1, 1)


def test_the_legend_names_the_class():
    (legend,) = draw(scale="own", class_name="a $ and $_")[0].legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "+0.25 of the largest value, for a $ and $_",
        "\u22120.25 of the largest value, against a $ and $_",
    ]
    legend.figure.draw_without_rendering()


def test_images_and_maps_of_different_sizes_and_missing_ones():
    images = [np.zeros((4, 9)), torch.zeros(3, 5, 5)]
    maps = {"some": [np.ones((2, 2)), None], "zero": [torch.zeros(1, 5, 5)] * 2}
    _, axes = draw(maps, images, scale="own")
    assert axes[0, 1].images[1].get_array().shape == (4, 9)
    assert axes[0, 2].images[1].get_array().shape == (4, 9)
    assert [text.get_text() for text in axes[1, 1].texts] == ["no map"]
    assert [text.get_text() for text in axes[1, 2].texts] == ["zero everywhere"]


def test_outlines_are_on_the_image_and_on_every_map():
    without, with_masks = draw()[1], draw(masks=torch.eye(6, 8).expand(2, 1, 6, 8))[1]
    for before, after in zip(without.flat, with_masks.flat, strict=True):
        assert len(after.collections) == len(before.collections) + 1


def test_the_users_style_turns_no_image():
    with rc_context({"image.origin": "lower"}):
        _, axes = draw()
    assert {axis.get_ylim() for axis in axes.flat} == {(5.5, -0.5)}


def test_long_names_stay_at_their_own_panels():
    long = (
        "ClusteredLayerCAM, of ten clusterings, Shapley values",
        "a" * 60,
        "a_long_file_name " * 3,
    )
    figure, axes = draw(dict.fromkeys(long, ONES), names=[long[2], "short"])
    boxes = [axis.title.get_window_extent() for axis in axes[0]]
    panels = [axis.get_window_extent() for axis in axes[0]]
    for box, panel in zip(boxes, panels, strict=True):
        assert panel.x0 - 5 < box.x0
        assert box.x1 < panel.x1 + 5
        assert box.y1 <= figure.bbox.y1
    name, below = (axis.yaxis.label.get_window_extent() for axis in axes[:, 0])
    assert name.y0 > below.y1
    assert axes[0, 2].get_title().replace("\n", "") == "a" * 60


def test_axes_that_exist_are_drawn_on():
    figure = Figure()
    given = figure.subplots(2, 3)
    assert (draw(plt_fig_axis=(figure, given))[1] == given).all()
    with pytest.raises(ValueError, match=r"plt_fig_axis must have 2 x 3 axes .*; got 3"):
        draw(plt_fig_axis=(figure, given[0]))


def test_mistakes_are_named():
    with pytest.raises(TypeError, match=r"attributions must be a mapping .*; got Tensor"):
        draw(ONES)
    with pytest.raises(TypeError, match=r"attributions\['a'\] must be a tensor or .*got NoneType"):
        draw({"a": None})
    with pytest.raises(TypeError, match=r"names must be a tensor or a sequence, .*; got list_iter"):
        draw(names=iter(["a", "b"]))
    with pytest.raises(TypeError, match=r"original_images must be a tensor or .*; got Image"):
        visualize_methods({"a": ONES}, Image.new("L", (8, 6)), use_pyplot=False)
    with pytest.raises(ValueError, match="must have at least one entry each"):
        draw({})
    with pytest.raises(ValueError, match=r"attributions\['a'\] must have an entry .* 2 .*; got 1"):
        draw({"a": ONES[:1]})
    with pytest.raises(ValueError, match=r"names must have an entry for each of the 2 .*; got 1"):
        draw(names=["a"])
    with pytest.raises(ValueError, match="masks must have an entry"):
        draw(masks=torch.ones(3, 6, 8))
    with pytest.raises(ValueError, match="scale='row' must be 'shared' or 'own'"):
        draw(scale="row")
    with pytest.raises(ValueError, match="limit=2 needs scale='shared'; got scale='own'"):
        draw(scale="own", limit=2)
    with pytest.raises(ValueError, match=r"attributions\['a'\] must be finite"):
        draw({"a": ONES * float("nan")})
