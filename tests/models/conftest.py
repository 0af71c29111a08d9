import pytest


@pytest.fixture(autouse=True)
def _in_workplace(workplace):
    """Each test has its own current directory, with the module ``factories``."""
