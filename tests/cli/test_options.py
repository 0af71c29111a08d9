"""Options that commands share."""

import inspect
from dataclasses import fields

import pytest

from captum_clustered._errors import UserError
from captum_clustered.cli.options import MethodOptions, expanded, names_of, target_of
from captum_clustered.explain import ExplainerSettings


def test_defaults_are_those_of_the_library():
    assert MethodOptions().settings(layers=[]) == ExplainerSettings()


def test_each_setting_of_the_library_is_an_option():
    # run has one layer, and no --multi-label.
    others = {"layer", "target", "multi_label", "fusion"}
    assert {f.name for f in fields(ExplainerSettings)} - others == {
        f.name for f in fields(MethodOptions)
    }


def test_a_group_becomes_its_options():
    seen = []

    @expanded
    def command(first: str, method: MethodOptions, last: int = 3) -> None:
        seen.append((first, method, last))

    names = list(inspect.signature(command).parameters)
    assert names == ["first", *(field.name for field in fields(MethodOptions)), "last"]
    values = {field.name: field.default for field in fields(MethodOptions)} | {"n_clusters": 4}
    command(first="a", last=5, **values)
    assert seen == [("a", MethodOptions(n_clusters=4), 5)]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (None, None),
        ([""], None),
        (["LayerGradCam, GradCAM++", "LayerCAM"], ["LayerGradCam", "GradCAM++", "LayerCAM"]),
        (
            ["ClusteredLayerCAM(n_clusterings=10, scaling='drop'),LayerGradCam"],
            ["ClusteredLayerCAM(n_clusterings=10, scaling='drop')", "LayerGradCam"],
        ),
        (["random,random", "random"], ["random"]),
        (["ClusteredLayerCAM(seed=1,"], ["ClusteredLayerCAM(seed=1,"]),
    ],
)
def test_names_separated_by_commas(given, names):
    assert names_of(given) == names


def test_targets():
    assert [target_of(text) for text in ("label", "prediction", "12")] == [
        "label",
        "prediction",
        12,
    ]
    with pytest.raises(UserError, match="--target -1 must be prediction, label or the number"):
        target_of("-1")
