"""
From files to the inputs of a network.

:func:`read_image` and :func:`read_mask` read one file; everything else reads through them.
:class:`ImageList` lists a folder or a table for ``explain_dataset``, and :class:`ImageBatches`
makes batches of it for ``compare``. :class:`ImageTable`, :class:`BUSBRA`, :class:`DDTI` and
:class:`TN5000` are data sets for ``torch.utils.data.DataLoader``, and :func:`split_by_patient`
divides them. :func:`make_preprocessing` turns an image into the network's input, and maps its
attribution back onto the image; :func:`as_preprocessing` does so for a transform of your own.
:func:`read_volume` and :func:`make_volume_preprocessing` do the same for CT, MRI and the like.

torchvision, pydicom, nibabel and scikit-learn are imported when they are first needed.
"""

from captum_clustered._errors import ImageError
from captum_clustered.data.base import MaskedImages, Sample
from captum_clustered.data.batches import ImageBatches
from captum_clustered.data.bus_bra import BUSBRA
from captum_clustered.data.ddti import DDTI
from captum_clustered.data.dicom import frames_of
from captum_clustered.data.image_list import ImageList
from captum_clustered.data.image_table import ImageTable
from captum_clustered.data.images import read_image
from captum_clustered.data.masks import read_mask
from captum_clustered.data.own_transform import as_preprocessing
from captum_clustered.data.patients import split_by_patient
from captum_clustered.data.preprocessing import Preprocessing, make_preprocessing
from captum_clustered.data.tn5000 import TN5000
from captum_clustered.data.volume_preprocessing import (
    VolumePreprocessing,
    as_volume_preprocessing,
    make_volume_preprocessing,
)
from captum_clustered.data.volumes import read_volume

__all__ = [
    "BUSBRA",
    "DDTI",
    "TN5000",
    "ImageBatches",
    "ImageError",
    "ImageList",
    "ImageTable",
    "MaskedImages",
    "Preprocessing",
    "Sample",
    "VolumePreprocessing",
    "as_preprocessing",
    "as_volume_preprocessing",
    "frames_of",
    "make_preprocessing",
    "make_volume_preprocessing",
    "read_image",
    "read_mask",
    "read_volume",
    "split_by_patient",
]
