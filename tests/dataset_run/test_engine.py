import pytest
from small_runs import contents, run

from captum_clustered.dataset_run import LocalEngine


def test_what_reads_images_does_not_change_results(tmp_path):
    run(tmp_path / "a")
    run(tmp_path / "b", engine=LocalEngine(num_workers=2))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_workers_are_a_number():
    with pytest.raises(ValueError, match="num_workers=-1 must be"):
        LocalEngine(num_workers=-1)
