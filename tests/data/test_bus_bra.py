import numpy as np
import pytest
import torch
from PIL import Image
from small_files import bus_bra_release, bus_bra_table, save_table

from captum_clustered.data import BUSBRA, bus_bra, split_by_patient


@pytest.fixture
def release(tmp_path, monkeypatch):
    bus_bra_release(tmp_path / "BUSBRA")
    monkeypatch.setattr(bus_bra, "N_IMAGES", 10)
    return tmp_path / "BUSBRA"


@pytest.fixture
def table(tmp_path):
    bus_bra_table(tmp_path / "table")
    return tmp_path / "table"


class TestTheRelease:
    def test_splits_are_folds(self, release):
        folds = {split: BUSBRA(release, split).folds for split in ("train", "val", "test", "all")}
        assert folds["test"] == ["1", "1"]
        assert folds["val"] == ["2", "2"]
        assert folds["train"] == ["3", "3", "4", "4", "5", "5"]
        assert folds["all"] == folds["test"] + folds["val"] + folds["train"]

    def test_an_item(self, release):
        data = BUSBRA(release, split="val")
        image, label, mask = data[0]
        assert (image.mode, image.size) == ("RGB", (12, 10))
        assert (data.classes[label], data.patients) == ("benign", ["2", "2"])
        assert mask.shape == (1, 10, 12)
        assert mask.sum() == 15
        assert mask[0, 2:5, 3:8].all()

    def test_is_found_in_the_folder_that_it_was_unpacked_to(self, release):
        assert len(BUSBRA(release.parent)) == 6

    def test_another_number_of_images_is_reported(self, release, monkeypatch):
        monkeypatch.setattr(bus_bra, "N_IMAGES", 1875)
        with pytest.warns(UserWarning, match="10 rows, the release has 1875"):
            data = BUSBRA(release)
        assert data.problems == ["bus_data.csv has 10 rows, the release has 1875."]

    @pytest.mark.parametrize("kind", ["image", "mask"])
    def test_missing_files_are_counted_and_named(self, release, kind):
        path = release / {"image": "Images/bus_0004-l.png", "mask": "Masks/mask_0004-l.png"}[kind]
        path.unlink()
        expected = f"1 of 6 {kind}s are missing: .*{path.name}.*zenodo.org/records/8231412.*cite"
        with pytest.raises(FileNotFoundError, match=expected):
            BUSBRA(release)

    def test_missing_folds_are_an_error_that_says_where_to_get_them(self, release):
        (release / "5-fold-cv.csv").unlink()
        with pytest.raises(FileNotFoundError, match=r"5-fold-cv.csv.*zenodo.org/records/8231412"):
            BUSBRA(release)

    def test_a_patient_in_two_folds_is_an_error(self, release):
        path = release / "5-fold-cv.csv"
        path.write_text(path.read_text().replace("l,1,malignant,1", "l,1,malignant,2"))
        with pytest.raises(ValueError, match=r"patients in more than one split \(1\): 1"):
            BUSBRA(release)

    def test_an_image_without_a_fold_is_an_error(self, release):
        save_table(release / "5-fold-cv.csv", [{"ID": "bus_0001-l", "kFold": 1}])
        with pytest.raises(ValueError, match="has fold '' for bus_0001-r; expected 1 to 5"):
            BUSBRA(release)

    def test_an_unknown_label_is_an_error(self, release):
        table = (release / "bus_data.csv").read_text()
        (release / "bus_data.csv").write_text(table.replace("benign", "unclear"))
        with pytest.raises(
            ValueError, match=r"has 'unclear' for bus_0004-l.png; expected benign or"
        ):
            BUSBRA(release)


class TestTheTable:
    def test_has_splits_of_its_own(self, table):
        train, val = BUSBRA(table), BUSBRA(table, split="val")
        assert (train.patients, val.patients) == (["3", "4", "5"], ["2"])
        assert train.targets == [1, 0, 1]
        assert train.folds == ["3", "4", "5"]
        assert train[0][2].sum() == 15

    def test_a_split_that_it_does_not_have_is_an_error(self, table):
        with pytest.raises(ValueError, match=r"split='test' is not in .* has 'train', 'val'"):
            BUSBRA(table, split="test")


def test_an_unknown_split_is_an_error(tmp_path):
    accepted = "split='fold1' must be one of 'train', 'val', 'test', 'all'"
    with pytest.raises(ValueError, match=accepted):
        BUSBRA(tmp_path, split="fold1")


def test_an_empty_folder_says_where_to_get_the_data_and_under_which_terms(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"zenodo.org/records/8231412.*CC BY 4.0.*mp.16812"):
        BUSBRA(tmp_path)


class TestTheRealData:
    def test_counts(self, real_bus_bra):
        train, val = BUSBRA(real_bus_bra), BUSBRA(real_bus_bra, split="val")
        assert (len(train), len(val)) == (1114, 385)
        assert not {*train.patients} & {*val.patients}
        everything = BUSBRA(real_bus_bra, split="all")
        assert len(everything) == 1499
        assert everything.problems == []
        assert sum(everything.targets) == 360 + 125

    def test_a_mask_is_as_large_as_its_image(self, real_bus_bra):
        for sample in BUSBRA(real_bus_bra, split="all").samples:
            with Image.open(sample.image) as image, Image.open(sample.mask.args[0]) as mask:
                assert image.size == mask.size, sample

    def test_items_are_pixels_and_lesions(self, real_bus_bra):
        data = BUSBRA(real_bus_bra, split="val")
        for index in range(0, len(data), 97):
            image, label, mask = data[index]
            assert np.asarray(image).std() > 0
            assert label in (0, 1)
            assert mask.dtype == torch.uint8
            assert 0 < mask.float().mean() < 1

    def test_halves_of_val_by_patient(self, real_bus_bra):
        val = BUSBRA(real_bus_bra, split="val")
        select, report = split_by_patient(val, (0.5, 0.5), seed=0)
        patients = [{val.patients[i] for i in part.indices} for part in (select, report)]
        assert not patients[0] & patients[1]
        assert abs(len(patients[0]) - len(patients[1])) <= 1
        assert sorted(select.indices + report.indices) == list(range(385))
        shares = [np.mean([val.targets[i] for i in part.indices]) for part in (select, report)]
        assert shares == pytest.approx([125 / 385] * 2, abs=0.02)
