"""The option --target of commands on many images."""

from __future__ import annotations

from captum_clustered._errors import UserError

__all__ = ["target_of"]


def target_of(text: str) -> str | int:
    """
    Raises:

        UserError: If it is neither prediction, label nor a number.
    """
    if text in ("prediction", "label"):
        return text
    if text.isdecimal():
        return int(text)
    raise UserError(f"--target {text} must be prediction, label or the number of a class.")
