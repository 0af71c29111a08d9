"""The worked example of the docstring, and what follows from it."""

from dataclasses import replace

import pytest
import torch
from fake_gpus import fake_gpus

from captum_clustered._ablation.coalitions import IMPORTANCES, LeaveOneOut
from captum_clustered._ablation.evaluations import ChannelAblation
from captum_clustered._ablation.memory_cap import SizeLimit
from captum_clustered._ablation.plan import UNABLATED, AblationPlan
from captum_clustered._ablation.single_pass.lazy_base import materialize
from captum_clustered._ablation.single_pass.lazy_tensor import LazyAblatedTensor

VALUES = torch.tensor([[1.0, 2.0, 3.0, 4.0]]).view(1, 4, 1, 1).repeat(2, 1, 1, 2)
MASKS = torch.tensor([[1, 1, 1, 1], [0, 0, 0, 0], [0, 1, 1, 0], [1, 1, 0, 1], [1, 0, 1, 1]]).bool()


def plan(**changes):
    made = AblationPlan(
        layer_tensors=(VALUES,),
        values=(VALUES,),
        baselines=(torch.tensor(-1.0),),
        channel_dim=1,
        labels=(torch.tensor([0, 2, 1, 0]).expand(1, 2, 4),),
        n_clusters=(3,),
        importance=IMPORTANCES["ablation"],
        designs=(LeaveOneOut(3),),
        with_baseline_score=True,
        layer_name="mine",
        places=(0,),
    )
    return replace(made, **changes)


def masks(plan, start, stop):
    (ablation,) = plan.ablations(start, stop, torch.tensor([0]))
    return ablation.evaluations.masks()


def test_masks_are_those_of_the_worked_example():
    assert plan().n_evaluations == 5
    assert torch.equal(masks(plan(), 0, 5), MASKS[:, None].expand(5, 2, 4))


def test_one_evaluation_has_no_ablation_and_is_the_first():
    """dataset_run reads the predicted class off it, before it knows the others."""
    assert masks(plan(), 0, 5).flatten(1).all(1).nonzero().tolist() == [[UNABLATED]]
    assert UNABLATED == 0


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (1, 2), (1, 4), (3, 5), (4, 9)])
def test_a_part_of_the_evaluations(start, stop):
    assert torch.equal(masks(plan(), start, stop)[:, 0], MASKS[start:stop])


def test_without_the_baseline_score_evaluation_1_is_the_first_coalition():
    short = plan(with_baseline_score=False)
    assert short.n_evaluations == 4
    assert torch.equal(masks(short, 0, 4)[:, 0], MASKS[[0, 2, 3, 4]])


def test_clusterings_follow_each_other():
    labels = torch.tensor([[0, 2, 1, 0], [1, 1, 0, 2]])[:, None].expand(2, 2, 4)
    both = plan(labels=(labels,), designs=(LeaveOneOut(3),) * 2)
    assert torch.equal(
        masks(both, 5, 8)[:, 0], torch.tensor([[1, 1, 0, 1], [0, 0, 1, 1], [1, 1, 1, 0]]).bool()
    )


def test_ablated_channels_have_the_baseline_at_once_or_later():
    ablations = plan().ablations(0, 5, torch.tensor([2]))
    (ablated,) = plan().ablated(ablations)
    assert ablated[0, :, 0].tolist() == [[-1, -1], [2, 2], [3, 3], [-1, -1]]
    (lazy,) = plan().lazily_ablated(ablations, SizeLimit(100))
    assert isinstance(lazy, LazyAblatedTensor)
    assert torch.equal(materialize(lazy), ablated)


def test_tokens_are_ablated_at_once():
    tokens = plan(values=(VALUES[..., 0].movedim(1, -1),), channel_dim=-1)
    ablations = tokens.ablations(0, 5, torch.tensor([3]))
    (ablated,) = tokens.lazily_ablated(ablations, SizeLimit(100))
    assert not isinstance(ablated, LazyAblatedTensor)
    assert ablated.tolist() == [[[1, 2, -1, 4]]] * 2


def test_importances_by_hand():
    # f = 10; of the baseline 1; without clusters 0, 1, 2: 4, 9, 12.
    scores = torch.tensor([10.0, 1.0, 4.0, 9.0, 12.0])[:, None].expand(5, 2)
    assert plan().importances(scores).tolist() == [[[6, 1, -2]] * 2]


def test_elements_of_all_tensors_count():
    assert plan(values=(VALUES, VALUES[:, :1])).n_elements == 16 + 4


def test_the_index_of_the_loop_is_not_on_the_layers_device():
    with fake_gpus():
        values = torch.ones(3, 2, device="cuda")
        ablation = ChannelAblation(plan(), torch.zeros(1, dtype=torch.long))
        assert ablation.current(values).device == values.device
