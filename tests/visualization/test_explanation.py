"""What is drawn. How it looks was judged by eye."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from captum_clustered.explain import ExplainerSettings, Explanation
from captum_clustered.visualization import draw_explanation
from captum_clustered.visualization.arrays import backdrop
from captum_clustered.visualization.canvas import save_figure
from captum_clustered.visualization.palette import tinted


def explanation(importances, gradcam=0.25, maps=None):
    rng = np.random.default_rng(0)
    k = len(importances)
    maps = rng.normal(size=(k, 4, 4)) if maps is None else maps
    return Explanation(
        attribution=maps.sum(0),
        gradcam=maps.sum(0) * gradcam if gradcam else None,
        labels=np.arange(k),
        importances=np.array(importances, dtype=float),
        maps=maps,
        sizes=np.ones(k, dtype=int),
        score=1.0,
        baseline_score=0.0,
        target=0,
        probabilities=np.array([0.75, 0.25]),
        input_image=rng.integers(0, 256, (16, 16, 3), dtype=np.uint8),
        class_names={0: "zebra", 1: "gnu"},
        image="folder/photo.png",
        model="net",
        gradcam_missing="" if gradcam else "LayerGradCam is left out: of no use.",
    )


def drawn(given, **settings):
    return draw_explanation(replace(given, settings=ExplainerSettings(layer="conv", **settings)))


def texts(figure):
    """All texts but the numbers beside the color bars."""
    ticks = {t for axes in figure.axes for t in axes.get_yticklabels()}
    found = [t for t in figure.findobj(Text) if t not in ticks and t.get_visible()]
    return [t for t in found if t.get_text()]


def words(figure):
    return [" ".join(t.get_text().split()) for t in texts(figure)]


def bars(figure):
    """Name and importance beside each bar, from top to bottom."""
    (axis,) = [axes for axes in figure.axes if axes.patches and not axes.images]
    labels = [tick.get_text() for tick in axis.get_yticklabels()]
    widths = [bar.get_width() for bar in axis.patches]
    names, numbers = zip(*(label.split(": ") for label in labels), strict=True)
    numbers = [float(number.replace("\u2212", "-")) for number in numbers]
    assert numbers == pytest.approx(widths, rel=0.01)
    return dict(zip(names, numbers, strict=True))


def bold(figure):
    """The names in bold beside the bars."""
    (axis,) = [axes for axes in figure.axes if axes.patches and not axes.images]
    labels = [t for t in axis.get_yticklabels() if t.get_fontweight() == "bold"]
    return [label.get_text().split(":")[0] for label in labels]


def panels(figure):
    """The pictures of clusters, by title."""
    return {a.get_title(): a for a in figure.axes if a.get_title().startswith("cluster")}


class TestFigure:
    def test_names_and_numbers(self):
        figure = drawn(explanation([0.5, 1.25, -0.25]))
        lines = words(figure)
        assert "photo.png predicted: zebra (75.0 %), gnu (25.0 %)" in lines
        assert (
            "explained: zebra, by its logit logit 1.00 = +1.75 from clusters that raise it, "
            "\u22120.25 from clusters that lower it, \u22120.50 from clusters acting together"
        ) in lines
        assert (
            "One cell of a map is 1/4 of the image's width and height: an outline is not the "
            "border of a lesion or an object. Colors of different maps or figures cannot be "
            "compared. 3 clusters of channels, numbered for this image alone. Bars: what each adds "
            "(+) or takes away (\u2212), by the drop in the score without them. Those in bold have "
            "pictures: where the cluster is active, outlined at a quarter of its own largest "
            "value. A picture is paler the smaller the cluster's effect."
        ) in lines
        assert "added to the logit, in logits" in lines
        assert bars(figure) == {"cluster 1": 1.25, "cluster 0": 0.5, "cluster 2": -0.25}
        assert list(panels(figure)) == [
            "cluster 1\nraises the logit by 1.25",
            "cluster 0\nraises the logit by 0.50",
            "cluster 2\nlowers the logit by 0.25",
        ]
        assert [panel.get_xlabel() for panel in panels(figure).values()] == ["1 channel"] * 3

    def test_the_foot_says_how_the_map_was_made(self):
        figure = drawn(explanation([1.0]))
        assert "A prediction is not a diagnosis | net, layer conv" in words(figure)

    def test_colors_on_one_scale_can_be_compared(self):
        lines = words(drawn(explanation([1.0]), scaling="density"))
        assert not any("cannot be compared" in line for line in lines)

    def test_of_many_clusters_those_that_matter_have_a_bar_and_the_first_a_picture(self):
        # 20 clusters of -10, -9, ..., 9.
        figure = drawn(explanation(np.arange(-10.0, 10.0)))
        assert list(bars(figure).values()) == [*range(9, 2, -1), *range(-4, -11, -1), -3]
        assert list(bars(figure))[-1] == "6 others"
        titles = [title.split("\n")[0] for title in panels(figure)]
        assert titles == [f"cluster {j}" for j in (19, 18, 17, 2, 1, 0)]
        # 6 + 5 + 4 + 3 + 2 + 1, and -7 - 6 - 5 - 4 - 3 - 2 - 1.
        expected = "The 14 others add +21.00 and \u221228.00."
        assert any(line.endswith(expected) for line in words(figure))
        assert bold(figure) == [f"cluster {j}" for j in (19, 18, 17, 2, 1, 0)]

    def test_clusters_below_a_fiftieth_of_the_largest_have_a_bar_only(self):
        figure = drawn(explanation([-2.0, 0.04, 0.03, -0.03]))
        assert [title.split("\n")[0] for title in panels(figure)] == ["cluster 1", "cluster 0"]
        (caption,) = [line for line in words(figure) if "of channels" in line]
        assert caption.endswith(" The two others add +0.03 and \u22120.03.")

    def test_the_largest_of_each_sign_has_a_picture(self):
        small = [0.02, -0.01, -0.03]
        figure = drawn(explanation([*small, 2.0]))
        assert [title.split("\n")[0] for title in panels(figure)] == ["cluster 3", "cluster 2"]
        # As the sixth, before one that is larger.
        figure = drawn(explanation([*small, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0]))
        assert [title.split("\n")[0] for title in panels(figure)] == [
            f"cluster {j}" for j in (3, 4, 5, 6, 7, 2)
        ]

    def test_a_cluster_whose_number_is_zero_has_no_picture(self):
        # Two digits of 2.0 are shown.
        figure = drawn(explanation([2.0, -0.004]))
        assert [title.split("\n")[0] for title in panels(figure)] == ["cluster 0"]
        (caption,) = [line for line in words(figure) if "of channels" in line]
        assert caption.endswith(" The one other adds 0.00.")

    def test_a_box_on_the_map_has_the_size_of_one_cell(self):
        original = np.zeros((20, 40, 3), np.uint8)
        given = replace(explanation([1.0]), original_image=original, seen=(0.0, 0.25, 1.0, 0.75))
        (box,) = drawn(given).axes[1].patches
        # A quarter of 20 x 20 pixels, in the lower left corner of what was seen.
        assert box.get_bbox().bounds == (9.5, 14.5, 5, 5)

    def test_a_cluster_is_as_vivid_as_it_is_important(self):
        figure = drawn(explanation([4.0, 1.0], maps=np.ones((2, 4, 4))))
        gray = backdrop(figure.axes[0].images[0].get_array())
        for panel, opacity in zip(panels(figure).values(), (1.0, 0.5), strict=True):
            expected = tinted(gray, np.ones((16, 16)), opacity)
            assert np.asarray(panel.images[0].get_array()) == pytest.approx(expected)

    def test_each_cluster_is_on_its_own_scale(self):
        maps = np.stack([np.full((4, 4), value) for value in (2.0, -0.125)])
        figure = drawn(explanation([2.0, -0.125], maps=maps))
        limits = [panel.images[1].get_clim()[1] for panel in panels(figure).values()]
        assert limits == [2, 0.125]

    def test_a_cluster_that_carries_nothing_has_a_bar_only(self):
        figure = drawn(explanation([1.0, 0.0]))
        assert bars(figure) == {"cluster 0": 1, "cluster 1": 0}
        assert list(panels(figure)) == ["cluster 0\nraises the logit by 1.00"]

    def test_maps_are_on_the_original_image_and_what_was_cropped_is_unseen(self):
        original = np.zeros((20, 40, 3), np.uint8)
        given = replace(explanation([1.0]), original_image=original, seen=(0.0, 0.25, 1.0, 0.75))
        figure = drawn(given)
        assert figure.axes[0].images[0].get_array().shape == (20, 40, 3)
        for panel in [*figure.axes[1:3], *panels(figure).values()]:
            unseen = np.ma.getmaskarray(panel.images[1].get_array())
            assert unseen.tolist() == [[True] * 10 + [False] * 20 + [True] * 10] * 20
        assert "not seen by the network" in words(figure)

    def test_own_scales_for_the_shapes_of_both_methods(self):
        given = explanation([1.0, 2.0], gradcam=0.01)
        figure = draw_explanation(given, scale="own")
        for panel in figure.axes[1:3]:
            largest = np.abs(panel.images[1].get_array()).max()
            assert panel.images[1].get_clim() == pytest.approx((-largest, largest))

    @pytest.mark.parametrize("factor", [0.25, 4.0])
    def test_same_scale_for_both_methods(self, factor):
        given = explanation([1.0, 2.0], factor)
        figure = drawn(given, scaling="density")
        # Input, two overlays of two layers each, their bar.
        axes = figure.axes
        assert [len(axes[i].images) for i in range(3)] == [1, 2, 2]
        ours, gradcam = (np.asarray(axes[i].images[1].get_array()) for i in (1, 2))
        assert gradcam == pytest.approx(ours * factor)
        limit = max(np.abs(ours).max(), np.abs(gradcam).max())
        for panel in axes[1:3]:
            assert panel.images[1].get_clim() == pytest.approx((-limit, limit))
        assert axes[3].get_yticks().max() == pytest.approx(limit)

    def test_other_units_are_made_relative(self):
        figure = drawn(explanation([1.0, 2.0]), scaling="drop")
        labels = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
        assert labels[0] == "each map on\nits own scale"
        for panel in figure.axes[1:3]:
            largest = np.abs(panel.images[1].get_array()).max()
            assert panel.images[1].get_clim() == pytest.approx((-largest, largest))

    def test_says_why_gradcam_is_missing(self):
        figure = drawn(explanation([1.0], gradcam=0))
        assert "LayerGradCam is left out: of no use." in words(figure)

    def test_consensus_is_pointed_out(self):
        lines = words(drawn(explanation([1.0]), n_clusterings=5, seed=3))
        assert any("those of seed 3, one of 5 clusterings" in line for line in lines)

    def test_views_are_named_and_clusters_are_said_to_be_the_inputs(self):
        lines = words(drawn(explanation([1.0]), views=("identity", "hflip")))
        assert any("maps: means over the views identity, hflip" in line for line in lines)
        assert any(
            line.endswith("are those of the input itself, not of the views.") for line in lines
        )
        assert not any("views" in line for line in words(drawn(explanation([1.0]))))

    def test_zeros_without_warnings(self, tmp_path):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            figure = drawn(explanation([0.0, 0.0], maps=np.zeros((2, 4, 4))))
            save_figure(figure, tmp_path / "a.png")
        with Image.open(tmp_path / "a.png") as file:
            assert file.width == 1600

    def test_long_and_strange_names_stay_on_the_page(self, tmp_path):
        strange = replace(
            explanation(range(20)),
            class_names={0: "zebra " * 20},
            image="$a_{\u4e2d" * 30,
            model="net" * 30,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            figure = drawn(strange, n_clusterings=9)
            save_figure(figure, tmp_path / "a.png")
            ends = [text.get_window_extent().x1 for text in texts(figure)]
        assert max(ends) <= 1600

    def test_no_text_overlaps(self):
        figure = drawn(explanation(np.linspace(-1e-5, 2e-5, 12)), n_clusterings=3)
        figure.draw_without_rendering()
        boxes = [text.get_window_extent() for text in texts(figure)]
        for axes in figure.axes:
            boxes += [t.get_window_extent() for t in axes.get_yticklabels()]
        overlaps = [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
        assert overlaps == []
        assert min(box.x0 for box in boxes) >= 0
        assert max(box.x1 for box in boxes) <= 1600
