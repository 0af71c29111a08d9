"""Explain volumes, from files or images of nibabel."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, cast

from torch import Tensor

from captum_clustered._errors import printable
from captum_clustered.data.volume_preprocessing import VolumePreprocessing, as_volume_preprocessing
from captum_clustered.data.volumes import resized_affine
from captum_clustered.explain.explainer import ImageExplainer
from captum_clustered.explain.explanation import Explanation
from captum_clustered.explain.settings import ExplainerSettings
from captum_clustered.models.base import AnyModel


class VolumeExplainer(ImageExplainer):
    """
    Explains volumes by one network of volumes and one layer, beside LayerGradCam.

    It is made as :class:`ImageExplainer` is, with a preprocessing from
    :func:`captum_clustered.data.make_volume_preprocessing`, or a transform as
    :func:`captum_clustered.data.as_volume_preprocessing` takes it.

    Examples::

        >>> explainer = VolumeExplainer(net, ExplainerSettings(target=1))
        >>> explanation = explainer("scan.nii.gz")
        >>> explanation.save_nifti("scan-attribution.nii.gz")
    """

    def __init__(
        self, model: AnyModel, settings: ExplainerSettings | None = None, preprocessing: Any = None
    ) -> None:
        """Make it as :class:`ImageExplainer` is made."""
        super().__init__(model, settings, preprocessing)
        for choice in self._choices:
            if len(choice.shape) != 5:
                # Tokens that form a square would be taken for an image.
                raise ValueError(
                    f"Layer {choice.name!r} has shape {tuple(choice.shape)}, which is no map of a "
                    "volume."
                )

    def _prepared_by(self, preprocessing: Any) -> Any:
        if preprocessing is None:
            return self.model.volume_preprocessing()
        return as_volume_preprocessing(preprocessing)

    def prepare(self, image: Any) -> Tensor:
        """Return a volume, as in :meth:`__call__`, as the network's input, a batch of one."""
        if not isinstance(image, Tensor):
            image = self.preprocessing(self._read(image))[0][None]
        return image.to(self.model.device)

    def __call__(
        self, image: Any, name: str | None = None, target: int | None = None, original: Any = None
    ) -> Explanation:
        """
        Explain one volume, as :meth:`ImageExplainer.__call__` an image.

        Args:

            image (str, PathLike or nibabel image): The volume; a path is read by
                        :func:`captum_clustered.data.read_volume`.
            name, target (optional): As of an image.
                        Default: None
        """
        if name is None:
            name = printable(image) if isinstance(image, (str, os.PathLike)) else "volume"
        volume, preprocessing = self._read(image), cast("VolumePreprocessing", self.preprocessing)
        inputs, affine = preprocessing(volume)
        found = super().__call__(inputs[None], name, target)
        return replace(
            found,
            original_image=preprocessing.shown(volume),
            affine=volume.affine,
            map_affine=resized_affine(affine, inputs.shape[1:], found.attribution.shape),
        )

    def _read(self, image: Any) -> Any:
        return self.preprocessing.read(image) if isinstance(image, (str, os.PathLike)) else image
