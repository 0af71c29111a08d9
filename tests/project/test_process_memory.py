from multiprocessing import get_context

import torch
from process_memory import highest_memory


def _after_an_eighth_of_a_gib():
    filled = torch.ones(2**25)
    return highest_memory() - filled.nbytes / 2**20


def test_a_process_counts_its_own_memory_and_not_what_its_parent_has_had():
    parents = torch.ones(2**28)
    with get_context("spawn").Pool(1) as pool:
        found = pool.apply(_after_an_eighth_of_a_gib)
    assert 0 < found < parents.nbytes / 2**20
