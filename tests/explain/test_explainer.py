"""Explaining files, images and tensors."""

from functools import partial

import numpy as np
import pytest
import small_factories
import torch
from captum.attr import LayerGradCam
from matplotlib.text import Text
from PIL import Image
from torch import nn
from torchvision.transforms._presets import ImageClassification

from captum_clustered import (
    ClusteredLayerCAM,
    MultiLayerAttribution,
    TestTimeAugmentation,
    tokens_to_map,
)
from captum_clustered.data import make_preprocessing
from captum_clustered.explain import ExplainerSettings, Explanation, ImageExplainer
from captum_clustered.models import Model
from captum_clustered.report import write_report
from captum_clustered.visualization import draw_explanation


@pytest.fixture
def net():
    return small_factories.net().eval()


@pytest.fixture
def preprocessing():
    return make_preprocessing(size=32)


def explainer_of(net, preprocessing, **settings):
    return ImageExplainer(net, ExplainerSettings(**{"layer": "1", **settings}), preprocessing)


class TestSources:
    def test_a_file_an_image_and_a_tensor_give_the_same(self, net, preprocessing, photo):
        explain = explainer_of(net, preprocessing)
        image = Image.open(photo)
        inputs = preprocessing(image)
        found = [explain(source) for source in (str(photo), photo, image, inputs, inputs[None])]
        for each in found[1:]:
            np.testing.assert_array_equal(each.attribution, found[0].attribution)
            np.testing.assert_array_equal(each.input_image, found[0].input_image)
        assert [each.image for each in found] == [str(photo)] * 2 + ["image"] * 3
        assert explain(image, "mine").image == "mine"

    def test_input_image_is_what_the_network_sees(self, net, preprocessing, photo):
        found = explainer_of(net, preprocessing)(photo)
        resized = Image.open(photo).resize((32, 32), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(found.input_image, np.asarray(resized))

    def test_a_transform_of_ones_own(self, net, photo):
        found = explainer_of(net, small_factories.halved)(photo)
        inputs = small_factories.halved(Image.open(photo))[None]
        expected = ClusteredLayerCAM(net, net[1]).attribute(inputs, found.target)
        np.testing.assert_allclose(found.attribution, expected[0, 0], rtol=1e-5)
        assert found.preprocessing.startswith("halved: resized to 32 x 32")
        np.testing.assert_array_equal(found.original_image, np.asarray(Image.open(photo)))

    def test_a_transform_that_places_images_nobody_knows_where_shows_its_input(self, net, photo):
        def corner(image):
            return small_factories.halved(image.crop((0, 0, 20, 20)))

        found = explainer_of(net, corner)(photo)
        assert found.picture is found.input_image

    def test_the_original_image_is_kept_with_the_part_that_the_network_saw(self, net):
        preset = partial(ImageClassification, crop_size=24, resize_size=32)
        explain = explainer_of(net, make_preprocessing(preset))
        image = Image.effect_noise((80, 40), 100).convert("RGB")
        found = [explain(image), explain(explain.prepare(image), original=image)]
        for each in found:
            np.testing.assert_array_equal(each.original_image, np.asarray(image))
            assert each.seen == (4 / 32, 20 / 64, 28 / 32, 44 / 64)
        assert explain(explain.prepare(image)).original_image is None
        large = explain(image.resize((3000, 1500)))
        assert large.original_image.shape == (512, 1024, 3)
        assert large.seen == found[0].seen

    def test_a_network_that_writes_into_its_input_is_explained_like_one_that_does_not(
        self, net, preprocessing, photo
    ):
        class Writes(nn.Sequential):
            def forward(self, x):
                return super().forward(self.subtract(x, 0.4))

        found = []
        writes = Writes(*net)
        for writes.subtract in (torch.sub, torch.Tensor.sub_):
            inputs = preprocessing(Image.open(photo))
            found.append(explainer_of(writes, preprocessing)(inputs))
            np.testing.assert_array_equal(inputs, preprocessing(Image.open(photo)))
        for name in ("probabilities", "attribution", "gradcam", "input_image"):
            np.testing.assert_array_equal(getattr(found[1], name), getattr(found[0], name))

    def test_without_preprocessing_it_is_that_of_the_model(self, net):
        explain = ImageExplainer(net)
        assert explain.preprocessing.input_shape == (1, 3, 224, 224)
        found = explain(Image.new("RGB", (30, 20), (255, 0, 0)))
        assert found.attribution.shape == (56, 56)
        assert found.settings == ExplainerSettings(layer="1")

    def test_tokens_of_another_size_that_form_no_square(self, preprocessing):
        net = small_factories.Tokens(1000).eval()
        explain = explainer_of(net, preprocessing, layer="block", channel_dim=-1)
        with pytest.raises(ValueError, match="The layer has 55 tokens, which form no square"):
            explain(torch.zeros(3, 24, 36))

    @pytest.mark.parametrize("shape", [(2, 3, 32, 32), (32, 32)])
    def test_one_image_at_a_time(self, net, preprocessing, shape):
        with pytest.raises(ValueError, match=r"image must be a tensor of shape \(C, H, W\)"):
            explainer_of(net, preprocessing)(torch.zeros(shape))

    def test_missing_file(self, net, preprocessing):
        with pytest.raises(FileNotFoundError, match=r"nowhere\.png"):
            explainer_of(net, preprocessing)("nowhere.png")


class TestResults:
    def test_are_those_of_both_methods(self, net, preprocessing):
        inputs = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        settings = {
            "n_clusters": 4,
            "scaling": "drop",
            "importance": "shapley",
            "n_clusterings": 2,
            "seed": 5,
            "layer_baselines": 0.25,
            "perturbations_per_eval": 2,
        }
        found = explainer_of(net, preprocessing, target=2, **settings)(inputs)
        cam = ClusteredLayerCAM(
            net,
            net[1],
            clusterer=4,
            scaling="drop",
            importance="shapley",
            n_clusterings=2,
            seed=5,
        )
        attribution, clusters = cam.attribute(inputs, 2, layer_baselines=0.25, return_clusters=True)
        np.testing.assert_allclose(found.attribution, attribution[0, 0], rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(found.importances, clusters.importances[0], rtol=1e-4)
        np.testing.assert_array_equal(found.labels, clusters.labels[0])
        gradcam = LayerGradCam(net, net[1]).attribute(inputs, 2).detach()
        np.testing.assert_allclose(found.gradcam, gradcam[0, 0], rtol=1e-5)
        np.testing.assert_allclose(found.probabilities, net(inputs)[0].softmax(0).detach())

    def test_with_views_maps_are_means_and_clusters_those_of_the_input(self, net, preprocessing):
        inputs = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        settings = {"target": 2, "n_clusters": 4, "layer_baselines": 0.25}
        # The first view is not the input itself.
        explain = explainer_of(net, preprocessing, views=("hflip", "identity"), **settings)
        plain = explainer_of(net, preprocessing, **settings)
        found, one, mirrored = explain(inputs), plain(inputs), plain(inputs.flip(-1))
        for name in ("attribution", "gradcam"):
            mean = (getattr(one, name) + getattr(mirrored, name)[:, ::-1]) / 2
            np.testing.assert_allclose(getattr(found, name), mean, rtol=1e-4, atol=1e-7)
            # An image and its mirror image have the same maps, but for the side.
            other = getattr(explain(inputs.flip(-1)), name)
            np.testing.assert_allclose(getattr(found, name), other[:, ::-1], rtol=1e-4, atol=1e-7)
        for name in ("importances", "maps", "labels", "sizes", "score", "probabilities"):
            np.testing.assert_array_equal(getattr(found, name), getattr(one, name))
        assert found.notes == (
            "The maps are means over the views hflip, identity; the clusters are those of the "
            "input itself.",
        )
        assert one.notes == ()

    def test_number_of_samples_reaches_the_method(self, net, preprocessing):
        # Beyond 10 clusters Shapley values are sampled.
        options = {"importance": "shapley", "n_clusters": 11, "target": 0}
        inputs = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
        few = explainer_of(net, preprocessing, n_samples=1, **options)
        assert few.cam.n_samples == 1
        assert len(few(inputs).importances) == 11

    def test_the_predicted_class(self, net, preprocessing):
        inputs = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
        found = explainer_of(net, preprocessing)(inputs)
        assert found.target == found.prediction == int(net(inputs).argmax())

    def test_names_come_from_the_model(self, net, preprocessing):
        model = Model("mine", net, class_names=["cat", "dog", "cow"])
        found = explainer_of(model, preprocessing, target=1)(torch.zeros(3, 32, 32))
        assert found.model == "mine"
        assert [found.class_name(i) for i in (0, 1, 2, 3)] == ["cat", "dog", "cow", "class 3"]

    def test_tokens_become_a_map_and_gradcam_is_left_out(self, preprocessing):
        net = small_factories.tokens().eval()
        inputs = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        found = explainer_of(
            net, preprocessing, layer="block", channel_dim=-1, target=1, n_clusters=8
        )(inputs)
        cam = ClusteredLayerCAM(net, net.block, clusterer=8, channel_dim=-1)
        expected = tokens_to_map(cam.attribute(inputs, 1), (8, 8), n_prefix=1)
        np.testing.assert_allclose(found.attribution, expected[0, 0], rtol=1e-4)
        assert found.gradcam is None
        assert found.notes == (found.gradcam_missing,)
        assert "LayerGradCam is left out: it takes channels in dimension 1" in found.gradcam_missing

    def test_views_of_tokens_must_move_no_positions(self, preprocessing):
        net = small_factories.tokens().eval()
        tokens = {"layer": "block", "channel_dim": -1, "target": 1}
        with pytest.raises(ValueError, match=r"views: 'hflip' moves positions.*'block' of shape"):
            explainer_of(net, preprocessing, views=("identity", "hflip"), **tokens)
        inputs = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        found = explainer_of(net, preprocessing, views=("gain(0.5)",), **tokens)(inputs)
        expected = explainer_of(net, preprocessing, **tokens)(0.5 * inputs)
        np.testing.assert_allclose(found.attribution, expected.attribution, rtol=1e-4)

    def test_a_method_that_fails_is_named(self, net, preprocessing):
        class Silent(nn.Module):
            def __init__(self):
                super().__init__()
                self.net = net

            def forward(self, x):
                with torch.no_grad():
                    return self.net(x)

        found = explainer_of(Silent(), preprocessing, layer="net.1")(torch.zeros(3, 32, 32))
        assert found.gradcam is None
        assert "LayerGradCam is left out: it fails on this model" in found.gradcam_missing


class TestLayer:
    def test_the_usual_one_if_none_is_given(self, net, preprocessing):
        assert explainer_of(net, preprocessing, layer="").settings.layer == "1"

    def test_its_channels_are_known(self):
        net = small_factories.channels_last().eval()
        explain = explainer_of(net, make_preprocessing(size=32), layer="")
        assert explain.settings.layer == "block"
        assert explain.settings.channel_dim == -1

    def test_the_input_of_no_layer(self, net, preprocessing):
        with pytest.raises(ValueError, match="layer_input needs the name of a layer"):
            explainer_of(net, preprocessing, layer="", layer_input=True)


class TestSavedClusters:
    LABELS = (0, 1, 1, 0, 2, 2, 0, 1, 2, 0, 0, 1)

    @pytest.mark.parametrize("form", [tuple, list, torch.tensor, np.array])
    def test_are_those_of_every_image(self, net, preprocessing, form):
        explain = explainer_of(net, preprocessing, clusters=form(self.LABELS))
        found = explain(torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0)))
        assert tuple(found.labels) == self.LABELS
        assert explain.settings.clusters == self.LABELS

    def test_from_a_file(self, net, preprocessing, workplace):
        torch.save(torch.tensor(self.LABELS), "labels.pt")
        explain = explainer_of(net, preprocessing, clusters=workplace / "labels.pt")
        assert tuple(explain(torch.zeros(3, 32, 32)).labels) == self.LABELS
        assert explain.settings.clusters == str(workplace / "labels.pt")

    def test_of_another_layer(self, net, preprocessing):
        with pytest.raises(ValueError, match="clusters are for 2 channels; the layer has 12"):
            explainer_of(net, preprocessing, clusters=(0, 1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"score": "loss"}, "score='loss' must be 'logit' or 'probability'"),
        ({"target": 3}, "target=3 is out of range: Sequential has 3 classes, 0 to 2"),
        ({"scaling": "none"}, "scaling='none' must be"),
        ({"n_samples": 0}, "n_samples=0 must be"),
        ({"layer": "9"}, "has no layer '9'"),
        ({"views": ("hflipp",)}, "'hflipp' is not one of .*Did you mean 'hflip'"),
    ],
)
def test_mistakes_show_before_any_image(net, preprocessing, settings, message):
    with pytest.raises(ValueError, match=message):
        explainer_of(net, preprocessing, **settings)


class TestSeveralLayers:
    @pytest.fixture
    def net(self):
        return small_factories.two_sizes().eval()

    @pytest.mark.parametrize("fusion", ["mean", "max"])
    def test_maps_are_fused_and_clusters_are_those_of_the_last_layer(
        self, net, preprocessing, photo, fusion
    ):
        explain = explainer_of(net, preprocessing, layer=["1", "3"], fusion=fusion, n_clusters=3)
        found = explain(photo, target=1)
        x = explain.prepare(photo)
        for maps, method in (
            (found.attribution, partial(ClusteredLayerCAM, clusterer=3)),
            (found.gradcam, LayerGradCam),
        ):
            fused = MultiLayerAttribution([method(net, net[i]) for i in (1, 3)], fusion)
            np.testing.assert_allclose(maps, fused.attribute(x, 1)[0, 0], rtol=1e-5)
        assert found.attribution.shape == (8, 8)
        cam = ClusteredLayerCAM(net, net[3], clusterer=3)
        _, clusters = cam.attribute(x, 1, return_clusters=True)
        np.testing.assert_allclose(found.maps, clusters.maps[0], rtol=1e-5)
        np.testing.assert_array_equal(found.labels, clusters.labels[0])
        assert found.settings.layer == ("1", "3")
        word = {"mean": "mean", "max": "maximum"}[fusion]
        note = f"The maps are the {word} over the layers, with equal mass; the clusters are those "
        assert [text for text in found.notes if text.startswith(note)]
        assert "layer '1, 3'" in repr(found)

    def test_views_are_averaged_after_the_fusion(self, net, preprocessing, photo):
        settings = {"layer": ["1", "3"], "views": ["identity", "hflip"]}
        explain = explainer_of(net, preprocessing, **settings)
        found = explain(photo, target=1).attribution
        fused = MultiLayerAttribution([ClusteredLayerCAM(net, net[i]) for i in (1, 3)])
        mean = TestTimeAugmentation(fused).attribute(explain.prepare(photo), 1)
        np.testing.assert_allclose(found, mean[0, 0], rtol=1e-5)

    def test_a_list_of_one_layer_is_that_layer(self, net, preprocessing, photo):
        found = [explainer_of(net, preprocessing, layer=layer)(photo) for layer in ("3", ["3"])]
        np.testing.assert_array_equal(found[0].attribution, found[1].attribution)
        assert found[0].settings == found[1].settings
        assert found[0].notes == found[1].notes

    def test_saved_loaded_and_drawn(self, net, preprocessing, photo, tmp_path):
        found = explainer_of(net, preprocessing, layer=["1", "3"])(photo)
        found.save(tmp_path / "photo.npz")
        loaded = Explanation.load(tmp_path / "photo.npz")
        assert loaded.settings == found.settings
        figure = draw_explanation(loaded)
        texts = " ".join(text.get_text() for text in figure.findobj(Text)).replace("\n", " ")
        assert "layer 1, 3" in texts
        assert "maps: mean over the layers, with equal mass" in texts
        assert "The clusters are those of layer 3." in texts
        write_report(tmp_path, tmp_path / "report.html")
        page = (tmp_path / "report.html").read_text()
        assert "Maps are of several layers; clusters are those of the last one." in page
        assert "is its share of the map of Clustered-CAM" not in page

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"layer": ["1", "9"]}, "has no layer '9'"),
            ({"layer": ["1", "6"]}, "Layer '6' has shape .* not a spatial map"),
            ({"layer": ["1", "3"], "fusion": "sum"}, "fusion='sum' must be 'mean' or 'max'"),
            ({"layer": ["1", "3"], "clusters": [0] * 12}, "are those of one layer; got .* 1, 3"),
        ],
    )
    def test_wrong_settings(self, net, preprocessing, settings, message):
        with pytest.raises(ValueError, match=message):
            explainer_of(net, preprocessing, **settings)

    def test_tokens_are_fused_and_a_map_and_tokens_are_not(self, preprocessing, photo):
        tokens = small_factories.tokens().eval()
        settings = {"layer": ["block", "block"], "channel_dim": -1}
        found = explainer_of(tokens, preprocessing, **settings)(photo)
        single = explainer_of(tokens, preprocessing, layer="block", channel_dim=-1)(photo)
        np.testing.assert_allclose(found.attribution, single.attribution, rtol=1e-5)
        mixed = nn.Sequential(nn.Conv2d(3, 16, 4, stride=4), nn.Flatten(2), Tokens(), nn.Flatten())
        mixed.append(nn.Linear(16 * 64, 3)).eval()
        with pytest.raises(ValueError, match=r"layer: several must all be maps, .* '0' \(1, 16"):
            explainer_of(mixed, preprocessing, layer=["0", "2"])


class Tokens(nn.Identity):
    """Its output is (N, C, T)."""
