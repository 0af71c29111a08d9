"""What is drawn. How it looks was judged by eye."""

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib import rc_context
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from nets import GapLinear

from captum_clustered import ClusteredLayerCAM
from captum_clustered.visualization import visualize_layer_attr
from captum_clustered.visualization.arrays import backdrop
from captum_clustered.visualization.palette import tinted

IMAGE = np.random.default_rng(0).random((8, 12, 3))
SIGNED = torch.tensor([[[[-1.0, 0.0], [0.5, 2.0]]]])
# Of its own scale, at the size of the image.
RELATIVE = np.kron(SIGNED[0, 0].numpy() / 2, np.ones((4, 6)))
COLORED = tinted(backdrop(IMAGE), RELATIVE)


def draw(attr=SIGNED, image=IMAGE, **options):
    figure, axis = visualize_layer_attr(attr, image, use_pyplot=False, **options)
    figure.draw_without_rendering()
    return figure, axis


def lines(axis):
    """Levels and styles of the lines that are drawn."""
    sets = [child for child in axis.get_children() if isinstance(child, ContourSet)]
    return [(float(found.levels[0]), found.get_linestyle()[0][1] is not None) for found in sets]


def bar_of(axis):
    """The bar is drawn last, after the image and the map."""
    image, overlay, bar = axis.figure.axes
    assert overlay is axis
    assert len(image.images) == 1
    return bar


def test_the_map_is_at_the_images_size_in_its_own_values():
    _, axis = draw(interpolate_mode="nearest")
    picture, overlay = axis.images
    assert picture.get_array().shape == (8, 12, 3)
    assert np.asarray(picture.get_array()) == pytest.approx(COLORED)
    expected = np.repeat(np.repeat(SIGNED[0, 0].numpy(), 4, axis=0), 6, axis=1)
    assert (overlay.get_array() == expected).all()
    assert overlay.get_clim() == (-2, 2)
    assert bar_of(axis).get_ylim() == (-2, 2)


def test_lines_at_a_quarter_of_the_scale_tell_signs_apart():
    _, axis = draw()
    assert lines(axis) == [(-0.5, True), (0.5, False)]
    assert lines(draw(SIGNED.abs())[1]) == [(0.5, False)]


def test_the_image_is_beside_the_map_and_nothing_covers_it():
    figure, axis = draw()
    image = figure.axes[0]
    assert (image.images[0].get_array() == IMAGE).all()
    assert not image.collections
    assert image.get_window_extent().x1 < axis.get_window_extent().x0


def test_the_legend_says_what_lines_and_hatching_mean():
    (legend,) = draw(mask=np.eye(8, 12), seen=(0, 0, 1, 0.5))[0].legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "+0.5, for the class",
        "\u22120.5, against the class",
        "outline of the mask",
        "not seen by the network",
    ]
    (legend,) = draw(SIGNED.abs())[0].legends
    assert [text.get_text() for text in legend.get_texts()] == ["+0.5, for the class"]


def test_the_legend_has_no_line_that_is_not_drawn():
    # -0.4 is above minus a quarter of the scale, which ends at 2.
    (legend,) = draw(torch.tensor([[-0.4, 2.0]]))[0].legends
    assert [text.get_text() for text in legend.get_texts()] == ["+0.5, for the class"]
    assert not draw(torch.zeros(2, 2))[0].legends


def test_the_bar_has_a_number_at_each_line():
    _, axis = draw()
    lines = [line.get_ydata()[0] for line in bar_of(axis).lines]
    assert lines == [-0.5, 0.5]
    assert set(lines) < set(bar_of(axis).get_yticks())


def test_outlines_only():
    _, axis = draw(outline=True)
    assert [level for level, _ in lines(axis)] == [-0.5, 0.5, 1.0, 1.5]
    assert np.asarray(axis.images[0].get_array()) == pytest.approx(backdrop(IMAGE))


def test_opacity_and_original_colors():
    _, axis = draw(opacity=0.25, keep_colors=True, interpolate_mode="nearest")
    assert np.asarray(axis.images[0].get_array()) == pytest.approx(tinted(IMAGE, RELATIVE, 0.25))
    assert axis.images[1].get_alpha() == 0


def test_outlines_are_closed_where_the_border_cuts_them_off():
    _, axis = draw(torch.ones(1, 1))
    (outline,) = [child for child in axis.get_children() if isinstance(child, ContourSet)]
    (path,) = outline.get_paths()
    assert (path.vertices[0] == path.vertices[-1]).all()
    low, high = path.vertices.min(0), path.vertices.max(0)
    # Within half a pixel of the border of 12 x 8 pixels.
    assert (np.abs([*low, *(high - [11, 7])]) <= 0.5).all()


def test_a_given_scale():
    _, axis = draw(limit=1.0, label="share of the logit")
    assert axis.images[1].get_clim() == (-1, 1)
    assert bar_of(axis).get_ylabel() == "share of the logit"


def test_a_result_of_the_library_on_a_gray_image_that_is_not_square():
    net = GapLinear()
    x = torch.rand(1, 2, 9, 5, generator=torch.Generator().manual_seed(0))
    attribution = ClusteredLayerCAM(net, net.relu, clusterer=2).attribute(x, target=0)
    _, axis = draw(attribution, x[0, :1])
    assert axis.images[1].get_array().shape == (9, 5)


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (8, 12), (16, 24)])
def test_layers_of_any_size(size):
    _, axis = draw(torch.full(size, -0.25))
    assert np.asarray(axis.images[1].get_array()) == pytest.approx(np.full((8, 12), -0.25))


def test_a_map_of_zeros_is_drawn_as_one_and_says_so():
    _, axis = draw(torch.zeros(1, 2, 2))
    assert (axis.images[1].get_array() == 0).all()
    assert [text.get_text() for text in axis.texts] == ["zero everywhere"]
    assert not draw()[1].texts


def test_an_image_of_one_pixel():
    draw(torch.ones(1, 1, 1), torch.zeros(3, 1, 1), mask=torch.ones(1, 1))


@pytest.mark.parametrize("mask", [np.eye(8, 12), np.ones((8, 12), bool), torch.ones(1, 8, 12)])
def test_masks_are_outlined_within_the_image(mask):
    _, axis = draw(torch.zeros(2, 2), mask=mask)
    (outline,) = [child for child in axis.get_children() if isinstance(child, ContourSet)]
    assert outline.levels == [0.5]
    assert axis.get_xlim() == (-0.5, 11.5)
    assert axis.get_ylim() == (7.5, -0.5)


def test_an_empty_mask_has_no_outline():
    assert lines(draw(torch.zeros(2, 2), mask=np.zeros((8, 12)))[1]) == []


@pytest.mark.parametrize("shape", [(8, 12), (12, 8), (30, 10)])
def test_the_bar_and_its_label_are_on_the_page_beside_the_image(shape):
    figure, axis = draw(image=np.zeros(shape), label="share of the logit per position")
    box = bar_of(axis).get_tightbbox()
    assert box.x0 > axis.get_window_extent().x1
    assert box.x1 <= figure.bbox.x1
    assert box.y0 >= 0
    assert box.y1 <= figure.bbox.y1


def test_dollar_signs_are_letters():
    _, axis = draw(title="$a_", label="$\\frac")
    assert axis.get_title() == "$a_"


def test_an_axis_that_exists_is_drawn_on():
    figure = Figure()
    axes = figure.subplots(1, 2)
    given = (figure, axes[1])
    result = visualize_layer_attr(
        SIGNED, IMAGE, plt_fig_axis=given, show_colorbar=False, use_pyplot=False
    )
    assert result == given
    assert not axes[0].images
    assert len(figure.axes) == 2


def test_pyplot_shows_the_figure_and_else_knows_nothing_of_it(monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.get_fignums()))
    draw()
    assert not plt.get_fignums()
    figure, _ = visualize_layer_attr(SIGNED, IMAGE)
    assert shown == [[figure.number]]
    plt.close(figure)


@pytest.mark.parametrize("setting", [{"image.origin": "lower"}, {"image.aspect": "auto"}])
def test_the_users_style_turns_or_stretches_no_image(setting):
    with rc_context(setting):
        _, axis = draw()
    assert axis.get_ylim() == (7.5, -0.5)
    assert axis.get_aspect() == 1


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="attr must be finite"):
        draw(torch.tensor([[float("nan")]]))
    with pytest.raises(ValueError, match="limit must be a positive number; got -1"):
        draw(limit=-1)
    with pytest.raises(ValueError, match="interpolate_mode='cubic' must be 'smooth' or"):
        draw(interpolate_mode="cubic")
    with pytest.raises(ValueError, match="mask must have the height"):
        draw(mask=np.ones((2, 2)))
    figure = Figure()
    with pytest.raises(ValueError, match="plt_fig_axis must have 1 x 1 axes"):
        draw(plt_fig_axis=(figure, figure.subplots(1, 2)))
