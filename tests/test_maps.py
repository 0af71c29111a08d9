import torch
from fake_gpus import fake_gpus

from captum_clustered._maps import _TensorPart, difference
from captum_clustered._scalings import SCALINGS


def test_differences_of_half_precision_are_formed_in_float32():
    # bfloat16 has 8 significant bits: 255.75 is not one of its numbers.
    value = torch.tensor([[256.0]], dtype=torch.bfloat16)
    baseline = torch.tensor(0.25, dtype=torch.bfloat16)
    found = difference(value, baseline)
    assert found.dtype == torch.float32
    assert found.item() == 255.75


def test_scores_of_a_model_on_several_devices_need_not_be_where_the_layer_is():
    with fake_gpus():
        maps = torch.ones(2, 4, 3, 3, device="cuda:0")
        labels = torch.zeros(1, 2, 4, dtype=torch.long, device="cuda:0")
        importances = torch.ones(1, 2, 1, device="cuda:1")
        part = _TensorPart(maps, labels, importances, SCALINGS["density"], maps)
        assert part.attribution(True).device == maps.device
        assert part.importances.device == maps.device
