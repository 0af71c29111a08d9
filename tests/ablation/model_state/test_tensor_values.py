"""Values of many tensors, which are copied and compared together."""

import warnings

import numpy as np
import pytest
import torch

from captum_clustered._ablation.model_state import tensor_values
from captum_clustered._ablation.model_state.tensor_values import TensorValues


def tensors(device="cpu"):
    """Small and large ones, of several dtypes and layouts in memory."""
    with torch.device(device):
        return [
            torch.arange(3.0),
            torch.arange(6.0).view(2, 3).T,
            torch.tensor(5),
            torch.tensor([1.0, torch.nan]),
            torch.tensor([True, False]),
            torch.arange(tensor_values.SMALL + 1.0)[None],
            torch.ones(1).expand(4),
        ]


def same(one, other):
    return one.shape == other.shape and torch.equal(torch.nan_to_num(one), torch.nan_to_num(other))


def test_of_tensors_on_a_gpu_all_are_restored():
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    with torch.inference_mode():
        inference = torch.ones(2, device="cuda")
    given, expected = [*tensors("cuda"), inference], [*tensors("cuda"), inference.clone()]
    values = TensorValues(given)
    for tensor in given[:6]:
        tensor.data.zero_()
    with torch.inference_mode():
        inference.zero_()
    versions = [tensor._version for tensor in given[:6]]
    values.restore()
    assert all(map(same, given, expected))
    assert [tensor._version for tensor in given[:6]] == versions


def test_each_tensor_is_restored_and_the_others_are_left_alone():
    for index in range(6):
        given, expected = tensors(), tensors()
        values = TensorValues(given)
        assert not values.have_changed
        given[index].data.zero_().add_(torch.tensor(7).to(given[index].dtype))
        assert values.have_changed
        versions = [tensor._version for tensor in given]
        values.restore()
        assert all(map(same, given, expected))
        # A backward pass may still need them.
        assert [tensor._version for tensor in given] == versions


def test_a_tensor_that_was_resized_or_moved_returns_to_its_memory():
    for move in (lambda t: t.resize_(1), lambda t: setattr(t, "data", torch.zeros(2, 2))):
        given = [torch.arange(3.0), torch.arange(4.0)]
        place = given[1].data_ptr()
        values = TensorValues(given)
        move(given[1])
        assert values.have_changed
        values.restore()
        assert same(given[1], torch.arange(4.0))
        assert given[1].data_ptr() == place


def test_memory_that_was_not_written_may_be_read_only(tmp_path):
    path = tmp_path / "numbers"
    np.arange(3, dtype=np.float32).tofile(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # To write into this memory would end the process.
        read_only = torch.from_numpy(np.memmap(path, np.float32, "r"))
    given = [torch.zeros(2), read_only, torch.zeros(2)]
    values = TensorValues(given)
    given[0].add_(1)
    values.restore()
    assert given[0].tolist() == [0, 0]
