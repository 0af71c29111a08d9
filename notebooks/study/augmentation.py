"""Augmentation that does not change the class of a lesion."""

from __future__ import annotations

from torchvision.transforms import InterpolationMode, v2

from study.images import normalized, resized

# Typical differences in probe position and gain between examinations.
DEGREES = 10
SHIFT = 0.05
SCALE = (0.9, 1.1)
BRIGHTNESS = CONTRAST = 0.2


def augmentation() -> v2.Compose:
    """
    Return the random transform from an image to the network's input.

    Images are mirrored from left to right, and slightly shifted, rotated and scaled, because the
    probe position varies. Brightness and contrast change slightly, because gain and dynamic range
    are set by hand. Images are never flipped vertically: sound comes from above, and a shadow or a
    bright band below a lesion suggests malignant or benign. They are not stretched: a lesion that
    is taller than wide suggests malignancy. Hue is not changed: there is none. Pixels from outside
    the image are black, as outside the probe's field of view.
    """
    return v2.Compose(
        [
            *resized(),
            v2.RandomHorizontalFlip(),
            v2.RandomAffine(
                DEGREES, (SHIFT, SHIFT), SCALE, interpolation=InterpolationMode.BILINEAR
            ),
            v2.ColorJitter(BRIGHTNESS, CONTRAST),
            *normalized(),
        ]
    )
