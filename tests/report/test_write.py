import json
import os
import re
import subprocess
import sys

import pytest
from made_up_runs import write_compare_run, write_explain_run

from captum_clustered.report import from_comparison as compare_run
from captum_clustered.report import write_report


def test_the_page_is_in_the_run_unless_it_is_said_where(tmp_path):
    write_explain_run(tmp_path / "run", n_images=1)
    assert write_report(tmp_path / "run") == tmp_path / "run" / "report.html"
    assert write_report(str(tmp_path / "run"), tmp_path / "a.html") == tmp_path / "a.html"
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "run" / "report.html").read_bytes()


def test_a_folder_of_save_to_is_a_run_as_well(tmp_path):
    write_compare_run(tmp_path)
    text = write_report(tmp_path / "state").read_text(encoding="utf-8")
    assert "7 methods on 7 images" in text
    # Only the command knows names.
    assert "image-2.png" not in text
    assert "image-2.png" in write_report(tmp_path).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda folder: None, "there is no such folder"),
        (lambda folder: folder.write_text("x"), "it is a file"),
        (lambda folder: folder.mkdir(), "it is empty"),
        (lambda folder: [folder.mkdir(), (folder / "a.txt").write_text("")], "has other files"),
    ],
)
def test_what_is_no_run_is_named(tmp_path, make, sentence):
    make(tmp_path / "run")
    with pytest.raises(
        ValueError,
        match=rf"run_dir='.*' must be a folder of compare, explain or run.*{sentence}",
    ):
        write_report(tmp_path / "run")
    assert not (tmp_path / "run" / "report.html").exists()


def test_a_place_that_cannot_be_written_to(tmp_path):
    write_explain_run(tmp_path, n_images=1)
    with pytest.raises(OSError, match="nowhere"):
        write_report(tmp_path, tmp_path / "nowhere" / "report.html")


def test_a_data_set_is_for_a_run_alone(tmp_path):
    write_explain_run(tmp_path, n_images=1)
    with pytest.raises(ValueError, match="dataset is for a folder of run; run_dir="):
        write_report(tmp_path, dataset=[])


@pytest.mark.parametrize("grid", [7, 14, 64])
def test_500_images_stay_below_20_mb(tmp_path, monkeypatch, grid):
    """
    Of 12 methods, three of them with 10 clusters; by the size of 12 images, with their share
    of the bytes.
    """
    for name in ("MAP_BYTES", "CLUSTER_BYTES"):
        share = getattr(compare_run, name) * 12 // 500
        monkeypatch.setattr(compare_run, name, share)
    write_compare_run(
        tmp_path, n_images=13, n_methods=7, size=224, grid=grid, n_clustered=3, n_clusters=10
    )
    text = write_report(tmp_path).read_text(encoding="utf-8")
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert len(data) / 12 * 500 < 20e6
    image = json.loads(data)["images"][0]
    # Those of most networks are kept as they are.
    assert image["maps"][0]["height"] == min(grid, 28)
    assert [each["height"] for each in image["clusters"]] == [min(grid, 14)] * 3
    assert [len(each["values"]) for each in image["clusters"]] == [10] * 3


PROGRAM = """
import sys
from captum_clustered.report import write_report

write_report(sys.argv[1])
heavy = {"pandas", "scipy.stats", "captum_clustered.comparison"}
print(*heavy & set(sys.modules))
"""


def test_explanations_need_no_packages_of_a_comparison(tmp_path):
    write_explain_run(tmp_path, n_images=1)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", PROGRAM, tmp_path],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == []
