"""
Check an installed wheel: `make dist` runs this in an environment that has nothing else.

Run it outside of the repository's root, so that the package there is not the one imported.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import torch
from torch import nn

import captum_clustered

# What is no Python module is in a wheel only if the configuration says so.
DATA = ["py.typed", "report/page/page.html.jinja", "report/page/page.css", "report/page/images.js"]


def main() -> None:
    """Raise an error if a file is missing or the package does not work."""
    package = files(captum_clustered)
    if "site-packages" not in str(package):
        raise SystemExit(f"This is not the installed package: {package}")
    missing = [name for name in DATA if not package.joinpath(name).is_file()]
    if missing:
        raise SystemExit(f"The wheel lacks {', '.join(missing)}")
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)
    ).eval()
    cam = captum_clustered.ClusteredLayerCAM(net, net[1], clusterer=3)
    shape = tuple(cam.attribute(torch.rand(2, 1, 8, 8), target=1).shape)
    if shape != (2, 1, 6, 6):
        raise SystemExit(f"The attribution has shape {shape}")
    command = Path(sys.executable).with_name("captum-clustered")
    version = subprocess.run(  # noqa: S603
        [str(command), "--version"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if version != captum_clustered.__version__:
        raise SystemExit(f"--version is {version!r}, the package's {captum_clustered.__version__}")
    sys.stdout.write(f"captum_clustered {version}: the wheel works\n")


if __name__ == "__main__":
    main()
