import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_bus_bra():
    """The folder with BUS-BRA: busbra in $CAPTUM_CLUSTERED_DATA or in ../shared/data."""
    repository = Path(__file__).parents[2]
    data = os.environ.get("CAPTUM_CLUSTERED_DATA", repository.parent / "shared" / "data")
    folder = Path(data) / "busbra"
    if not (folder / "labels.csv").is_file():
        pytest.skip(f"needs BUS-BRA in {folder}; $CAPTUM_CLUSTERED_DATA names the folder above")
    return folder
