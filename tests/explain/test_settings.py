import inspect
from dataclasses import fields

from captum_clustered import ClusteredLayerCAM
from captum_clustered.explain import ExplainerSettings


def test_defaults_are_those_of_the_method():
    parameters = {
        **inspect.signature(ClusteredLayerCAM).parameters,
        **inspect.signature(ClusteredLayerCAM.attribute).parameters,
    }
    names = {"n_clusters": "clusterer", "layer_input": "attribute_to_layer_input"}
    # What the method has no default for, or what is chosen in another way.
    own = {"layer", "target", "score", "multi_label", "n_prefix", "clusters"}
    for field in fields(ExplainerSettings):
        if field.name not in own:
            assert field.default == parameters[names.get(field.name, field.name)].default, (
                field.name
            )
