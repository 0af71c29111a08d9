"""A parameter that Captum adds to LayerGradCam must not go unnoticed."""

import inspect

from captum.attr import LayerGradCam

from captum_clustered import ClusteredLayerCAM


def test_signature_is_layer_grad_cams_and_then_keywords_of_our_own():
    theirs = list(inspect.signature(LayerGradCam.attribute).parameters.values())
    ours = list(inspect.signature(ClusteredLayerCAM.attribute).parameters.values())
    shared = [p for p in theirs if p.name != "grad_kwargs"]
    for mine, captums in zip(ours, shared, strict=False):
        assert (mine.name, mine.default, mine.kind) == (
            captums.name,
            captums.default,
            captums.kind,
        )
    assert all(p.kind is p.KEYWORD_ONLY for p in ours[len(shared) :])
    theirs = list(inspect.signature(LayerGradCam.__init__).parameters.values())
    ours = list(inspect.signature(ClusteredLayerCAM.__init__).parameters.values())
    for mine, captums in zip(ours, theirs, strict=False):
        assert (mine.name, mine.default) == (captums.name, captums.default)
    assert all(p.kind is p.KEYWORD_ONLY for p in ours[len(theirs) :])
