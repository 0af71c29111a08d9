"""
Data sets of images with labels and outlines, for ``torch.utils.data.DataLoader``.

:class:`BUSBRA`, :class:`DDTI` and :class:`TN5000` read ultrasound data that is downloaded by
hand, :class:`ImageTable` any folder with a CSV file. An item is (image, label, mask);
batches are what :func:`compare <captum_clustered.comparison.compare>` takes.
:func:`split_by_patient` divides a data set with no patient on two sides.

Needs torchvision and Pillow.
"""

try:
    from captum_clustered.data.bus_bra import BUSBRA
    from captum_clustered.data.ddti import DDTI
    from captum_clustered.data.image_table import ImageTable
    from captum_clustered.data.patients import split_by_patient
    from captum_clustered.data.tn5000 import TN5000
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"captum_clustered.data needs {error.name}, which is not installed. Install "
        "captum_clustered[data].",
        name=error.name,
    ) from error

__all__ = ["BUSBRA", "DDTI", "TN5000", "ImageTable", "split_by_patient"]
