import pytest
import torch
from toys import fake_cam

from captum_clustered.metrics import energy_pointing_game, energy_shares, iou, pointing_game

METRICS = [
    pointing_game,
    energy_pointing_game,
    iou,
    lambda maps, masks: torch.stack(energy_shares(maps, masks)),
]

MAPS = torch.tensor([[[[4.0, 2.0], [2.0, 0.0]]], [[[-9.0, 1.0], [3.0, 4.0]]]])
MASKS = torch.tensor([[[1, 1], [0, 0]], [[1, 0], [1, 0]]])


def test_pointing_by_hand():
    assert pointing_game(MAPS, MASKS).tolist() == [1, 0]
    assert pointing_game(MAPS, 1 - MASKS).tolist() == [0, 1]


def test_energy_by_hand():
    assert energy_pointing_game(MAPS, MASKS).tolist() == [0.75, 0.375]


@pytest.mark.parametrize(
    ("threshold", "expected"), [(0, [2 / 3, 1 / 4]), (0.5, [1 / 2, 1 / 3]), (0.8, [1 / 2, 0])]
)
def test_iou_by_hand(threshold, expected):
    # Above 0: three pixels each; above .5: one and two; above .8: one each.
    torch.testing.assert_close(iou(MAPS, MASKS, threshold), torch.tensor(expected))


def test_shares_by_hand():
    maps = torch.tensor([[[0.0, 1.0, 2.0, 4.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0]]])
    masks = torch.zeros(1, 10, dtype=torch.bool)
    masks[0, 3] = True
    for ring, expected in (
        (0, [0.4, 0, 0.6]),
        (0.01, [0.4, 0.4, 0.2]),  # one pixel at least
        (0.1, [0.4, 0.4, 0.2]),
        (0.2, [0.4, 0.6, 0.0]),
        (1.0, [0.4, 0.6, 0.0]),
    ):
        shares = energy_shares(maps, masks, ring)
        torch.testing.assert_close(torch.cat(shares), torch.tensor(expected))
        assert shares.lesion.item() == energy_pointing_game(maps, masks).item()


def test_rings_are_boxes_in_proportion_to_the_image():
    maps = torch.arange(1.0, 201).view(1, 1, 10, 20)
    masks = torch.zeros(1, 10, 20)
    masks[0, 5, 9] = 1
    ring = torch.zeros(10, 20)
    ring[4:7, 7:12] = 1  # a tenth: one pixel up and down, two to the sides
    ring[5, 9] = 0
    maps = maps - 1  # the smallest value counts as 0
    expected = (maps[0, 0] * ring).sum() / maps.sum()
    torch.testing.assert_close(energy_shares(maps, masks).ring, expected[None])


@pytest.mark.parametrize("size", [(8,), (8, 6), (8, 6, 4)])
def test_shares_sum_to_one_in_any_dimension(size):
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(3, 2, *[2] * len(size), generator=generator)
    masks = torch.rand(3, *size, generator=generator) > 0.7
    shares = energy_shares(maps, masks)
    assert all((share > 0).all() for share in shares[:2])
    torch.testing.assert_close(sum(shares), torch.ones(3))
    for metric in METRICS:
        torch.testing.assert_close(metric(maps, masks), metric(maps, masks[:, None].double()))


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0])
def test_constant_maps_point_nowhere_and_have_no_energy(value):
    maps, masks = torch.full((1, 1, 2, 2), value), torch.ones(1, 4, 4)
    assert pointing_game(maps, masks).item() == 0
    assert iou(maps, masks, 0).item() == 0
    assert energy_pointing_game(maps, masks).isnan().all()
    assert torch.cat(energy_shares(maps, masks)).isnan().all()


def test_empty_and_full_masks():
    empty, full = torch.zeros(2, 2, 2), torch.ones(2, 2, 2)
    assert [metric(MAPS, empty).tolist() for metric in METRICS[:3]] == [[0, 0]] * 3
    assert iou(torch.zeros(2, 1, 2, 2), empty).tolist() == [0, 0]
    assert [metric(MAPS, full).tolist() for metric in METRICS[:2]] == [[1, 1]] * 2


def test_maps_are_upsampled_to_the_masks():
    masks = torch.zeros(2, 8, 8)
    masks[0, :4, :4] = 1
    masks[1, 4:, 4:] = 1
    assert pointing_game(MAPS, masks).tolist() == [1, 1]
    # Left upper quarter by symmetry of 4 2 / 2 0, bilinear: u + v over u, v in [0, 1].
    assert 0.25 < energy_pointing_game(MAPS, masks)[0] < 0.5


def test_of_several_largest_values_the_first_counts():
    # A Fake-CAM has the largest value nearly everywhere, and hits nothing by that.
    x = torch.zeros(1, 1, 4, 4)
    first = torch.zeros(1, 4, 4)
    first[0, 0, 1] = 1
    assert pointing_game(fake_cam(x), first).item() == 1
    assert pointing_game(fake_cam(x), 1 - first).item() == 0


def test_a_single_pixel_wins_the_energy():
    maps, masks = torch.zeros(1, 1, 8, 8), torch.zeros(1, 8, 8)
    masks[0, 2:6, 2:6] = 1
    maps[0, 0, 2, 2] = 1
    assert energy_pointing_game(maps, masks).item() == 1
    assert iou(maps, masks).item() == 1 / 16


@pytest.mark.parametrize("metric", METRICS)
def test_mistakes_name_the_argument(metric):
    with pytest.raises(TypeError, match="masks must be one Tensor; got list"):
        metric(MAPS, [[1, 0]])
    with pytest.raises(TypeError, match="attributions must be one Tensor; got tuple"):
        metric((MAPS,), MASKS)
    for shape in ((1, 2, 2), (2, 2, 2, 2), (2, 2), (2, 1, 1, 2, 2)):
        with pytest.raises(ValueError, match=r"masks of shape .* do not fit attributions"):
            metric(MAPS, torch.zeros(shape))
    with pytest.raises(ValueError, match=r"masks must be booleans or zeros and ones.*masks > 0"):
        metric(MAPS, 255 * MASKS)
    with pytest.raises(ValueError, match="attributions must be finite"):
        metric(MAPS / 0, MASKS)


def test_thresholds_and_rings_are_shares():
    for threshold in (-0.1, 1, float("nan")):
        with pytest.raises(ValueError, match="threshold="):
            iou(MAPS, MASKS, threshold)
    for ring in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="ring="):
            energy_shares(MAPS, MASKS, ring)
