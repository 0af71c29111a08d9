"""Changes of an image under which a lesion stays what it is."""

from __future__ import annotations

from torchvision.transforms import InterpolationMode, v2

from study.images import normalized, resized

# How a probe is held and a gain is set differ by about so much from examination to examination.
DEGREES = 10
SHIFT = 0.05
SCALE = (0.9, 1.1)
BRIGHTNESS = CONTRAST = 0.2


def augmentation() -> v2.Compose:
    """
    From an image to the network's input, another one each time.

    A mirrored breast is a breast, and a probe is never held quite alike: flipped from left to
    right, shifted, turned and scaled a little. Gain and dynamic range are set by hand: a little
    brighter or darker. Never flipped upside down: sound comes from above, and the shadow below
    a lesion or the bright band there speaks for malignant or benign. No hue: there is none.
    No stretching: whether a lesion is taller than wide is a sign of malignancy. What comes in
    from outside is black, as what the probe does not reach.
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
