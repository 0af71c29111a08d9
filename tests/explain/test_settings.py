import inspect
import json
from dataclasses import fields

import pytest

from captum_clustered import ClusteredLayerCAM
from captum_clustered.explain import ExplainerSettings
from captum_clustered.views import hflip


def test_defaults_are_those_of_the_method():
    parameters = {
        **inspect.signature(ClusteredLayerCAM).parameters,
        **inspect.signature(ClusteredLayerCAM.attribute).parameters,
    }
    names = {"n_clusters": "clusterer", "layer_input": "attribute_to_layer_input"}
    # What the method has no default for, or what is chosen in another way.
    own = {"layer", "target", "score", "multi_label", "n_prefix", "clusters", "views", "fusion"}
    for field in fields(ExplainerSettings):
        if field.name not in own:
            assert field.default == parameters[names.get(field.name, field.name)].default, (
                field.name
            )


@pytest.mark.parametrize("given", [["identity", "zoom( 1.150)"], ("identity", "zoom(1.15)")])
def test_views_are_stored_as_texts_in_one_spelling(given):
    settings = ExplainerSettings(views=given)
    assert settings.views == ("identity", "zoom(1.15)")
    stored = json.loads(json.dumps(settings.to_json()))
    assert ExplainerSettings.from_json(stored) == settings


@pytest.mark.parametrize(
    ("views", "error", "message"),
    [
        (("hflipp",), ValueError, "'hflipp' is not one of identity.*Did you mean 'hflip'"),
        ("identity,hflip", TypeError, "views must be a sequence such as"),
        ((hflip(),), TypeError, r"views must be texts here, such as 'hflip'; got View\('hflip'\)"),
    ],
)
def test_views_that_cannot_be_stored_or_are_unknown(views, error, message):
    with pytest.raises(error, match=message):
        ExplainerSettings(views=views)


@pytest.mark.parametrize(
    ("given", "kept", "names"),
    [
        ("a", "a", ("a",)),
        (["a"], "a", ("a",)),
        (["a", "b"], ("a", "b"), ("a", "b")),
        ([], "", ("",)),
    ],
)
def test_layers_are_stored_as_json_can(given, kept, names):
    settings = ExplainerSettings(layer=given, fusion="max")
    assert (settings.layer, settings.layers) == (kept, names)
    stored = json.loads(json.dumps(settings.to_json()))
    assert ExplainerSettings.from_json(stored) == settings
    assert bool(settings.fused) == (len(names) > 1)


def test_fused_maps_do_not_sum_to_the_score():
    one, two = (ExplainerSettings(layer=layers, scaling="density") for layers in ("a", ["a", "b"]))
    assert one.is_additive
    assert not two.is_additive
