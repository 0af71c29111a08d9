import torch

from captum_clustered._maps import difference


def test_differences_of_half_precision_are_formed_in_float32():
    # bfloat16 has 8 significant bits: 255.75 is not one of its numbers.
    value = torch.tensor([[256.0]], dtype=torch.bfloat16)
    baseline = torch.tensor(0.25, dtype=torch.bfloat16)
    found = difference(value, baseline)
    assert found.dtype == torch.float32
    assert found.item() == 255.75
