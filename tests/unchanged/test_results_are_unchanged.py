"""Results are those that the package had before it was reorganized."""

import json

import numpy as np
import pytest
import torch
from unchanged_results import CASES, REFERENCE, results

STORED = json.loads(REFERENCE.read_text(encoding="utf-8"))


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """As the reference was computed, and on a busy machine much faster for tiny tensors."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_every_case_has_a_reference():
    assert list(CASES) == list(STORED)


@pytest.mark.parametrize("name", STORED)
def test_results_are_unchanged(name):
    found, stored = results(name), STORED[name]
    assert list(found) == list(stored)
    differences = {}
    for key in stored:
        try:
            # Lists of different shapes do not match either.
            np.testing.assert_allclose(
                np.array(found[key], float), np.array(stored[key], float), rtol=1e-4, atol=1e-6
            )
        except (AssertionError, ValueError) as error:
            differences[key] = str(error)
    assert not differences, "\n".join(f"{key}: {text}" for key, text in differences.items())
