"""Networks of volumes for --model small_volumes:net, volumes and DICOM series."""

import numpy as np
import torch
from torch import nn

SIDES = (12, 10, 8)


def net(channels=1):
    """The map of its layer 1 has a quarter of the input's length along each axis."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(channels, 6, 4, stride=4),
        nn.ReLU(),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(6, 2),
    )


class Tokens(nn.Module):
    """4 x 4 x 4 patches of 6 x 6 x 6 voxels, which could be 8 x 8."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv3d(1, 8, 6, stride=6)

    def forward(self, x):
        return self.patches(x).flatten(2).transpose(1, 2)


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(1)


def tokens():
    return nn.Sequential(Tokens(), Mean(), nn.Linear(8, 2))


def brightness():
    """The score of class 1 is the mean of the volume, which the single cluster's map shows."""
    model = nn.Sequential(
        nn.AvgPool3d(4),
        nn.Conv3d(1, 1, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(1, 2),
    )
    with torch.no_grad():
        model[1].weight.fill_(1)
        model[1].bias.zero_()
        model[5].weight.copy_(torch.tensor([[0.0], [1.0]]))
        model[5].bias.zero_()
    return model


def random_affine(rng):
    """A rotation, a flip, another spacing along each axis and a translation."""
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag(rng.uniform(0.5, 5, 3) * rng.choice([-1, 1], 3))
    affine[:3, 3] = rng.uniform(-200, 200, 3)
    return affine


def at(affine, index):
    """Where a voxel is, in millimeters."""
    return affine[:3, :3] @ np.asarray(index) + affine[:3, 3]


def volume_with_a_spot(affine, voxel, sides=(40, 36, 24), width=3.0):
    """A volume that is brightest at a voxel, as an image of nibabel."""
    import nibabel

    places = np.indices(sides).reshape(3, -1).T - np.asarray(voxel)
    values = np.exp(-(places**2).sum(1) / width**2 / 2).reshape(sides) * 1000
    return nibabel.Nifti1Image(values.astype(np.float32), affine)


def save_enhanced_ct(path, values, order, spacing, origin, slope, intercept):
    """An enhanced CT: all slices, from the feet to the head, as the frames of one file."""
    import pydicom
    from dicom_files import save_dicom

    def group(name, **tags):
        dataset = pydicom.Dataset()
        for key, value in tags.items():
            setattr(dataset, key, value)
        return {name: [dataset]}

    def functional_groups(*groups):
        dataset = pydicom.Dataset()
        for name, value in {key: value for one in groups for key, value in one.items()}.items():
            setattr(dataset, name, value)
        return dataset

    shared = functional_groups(
        group(
            "PixelMeasuresSequence",
            PixelSpacing=[spacing[1], spacing[0]],
            SliceThickness=spacing[2],
        ),
        group("PlaneOrientationSequence", ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
        group(
            "PixelValueTransformationSequence",
            RescaleSlope=slope,
            RescaleIntercept=intercept,
            RescaleType="HU",
        ),
    )
    frames = [
        functional_groups(
            group(
                "PlanePositionSequence",
                ImagePositionPatient=[*origin[:2], origin[2] + number * spacing[2]],
            ),
            group("FrameContentSequence", DimensionIndexValues=[number + 1]),
        )
        for number in order
    ]
    return save_dicom(
        path,
        np.asarray(values)[list(order)],
        bits=12,
        frames=len(frames),
        SOPClassUID=pydicom.uid.EnhancedCTImageStorage,
        SOPInstanceUID=pydicom.uid.generate_uid(),
        StudyInstanceUID=pydicom.uid.generate_uid(),
        SeriesInstanceUID=pydicom.uid.generate_uid(),
        FrameOfReferenceUID=pydicom.uid.generate_uid(),
        Modality="CT",
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=frames,
    )


def save_series(folder, values, spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0), **tags):
    """An axial DICOM series; values are (slices, rows, columns), from the feet to the head."""
    import pydicom
    from dicom_files import save_dicom

    folder.mkdir()
    series, frame, study = (pydicom.uid.generate_uid() for _ in range(3))
    for number, one in enumerate(values):
        name = f"{len(values) - number:03d}.dcm"
        z = origin[2] + number * spacing[2]
        save_dicom(
            folder / name,
            one,
            bits=12,
            SOPClassUID=pydicom.uid.CTImageStorage,
            SOPInstanceUID=pydicom.uid.generate_uid(),
            StudyInstanceUID=study,
            SeriesInstanceUID=series,
            FrameOfReferenceUID=frame,
            Modality="CT",
            ImagePositionPatient=[*origin[:2], z],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            # Between rows, then between columns.
            PixelSpacing=[spacing[1], spacing[0]],
            SliceThickness=spacing[2],
            **tags,
        )
    return folder
