"""All evaluations of vmap as one tensor."""

import torch
from torch._C import _functorch

from captum_clustered._ablation.batches import EvaluationBatch, are_plain_parameters
from captum_clustered._ablation.coalitions import LeaveOneOut
from captum_clustered._ablation.evaluations import ChannelAblation, Evaluations


def test_evaluations_are_in_the_first_dimension():
    x = torch.arange(24.0).view(2, 3, 4)

    def double(part):
        batch = EvaluationBatch.of(part)
        unpacked = batch.unpack(part)
        assert not _functorch.is_batchedtensor(unpacked)
        assert torch.equal(unpacked, x.movedim(1, 0))
        return batch.pack(2 * unpacked)

    assert torch.equal(torch.func.vmap(double, in_dims=1, out_dims=1)(x), 2 * x)


def test_a_tensor_is_in_no_batch_or_in_one_of_several():
    x = torch.ones(2, 3)
    assert EvaluationBatch.of(x) is None

    def outer(row):
        assert EvaluationBatch.of(row).size == 2
        assert not are_plain_parameters(x, row)
        assert are_plain_parameters(x, None, torch.nn.Parameter(x))

        def inner(i):
            assert EvaluationBatch.of(row) is None
            assert EvaluationBatch.of(row * i) is None
            assert EvaluationBatch.of(i).size == 3
            return row * i

        return torch.func.vmap(inner)(torch.arange(3))

    assert torch.func.vmap(outer)(x).shape == (2, 3, 3)


def test_values_of_all_evaluations_are_not_copied():
    evaluations = Evaluations(torch.zeros(1, 1, 2, dtype=torch.long), [LeaveOneOut(2)], False, 0, 3)
    values = torch.arange(6.0).view(3, 2)

    def current(index, values):
        found = ChannelAblation(evaluations, index.view(1)).current(values)
        pointers.append(_functorch.get_unwrapped(found).data_ptr())
        return found

    pointers = []
    run = torch.func.vmap(current, in_dims=(0, None))
    assert torch.equal(run(torch.arange(3), values), values)
    assert pointers == [values.data_ptr()]
    # Fewer than there are indices: the last one is repeated.
    assert torch.equal(run(torch.arange(3), values[:2]), values[[0, 1, 1]])
