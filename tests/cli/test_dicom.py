"""DICOM files on the command line."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("pydicom", reason="needs the extra dicom")

from dicom_files import save_dicom


def test_explain_takes_frames(explain, workplace):
    rng = np.random.default_rng(0)
    save_dicom(workplace / "clip.dcm", rng.integers(0, 255, (2, 40, 30)), frames=2)
    assert explain(images=["clip.dcm"]).exit_code == 0
    assert explain("--out", "one", images=["clip.dcm#2"]).exit_code == 0
    names = ["clip-frame1.npz", "clip-frame1.png", "clip-frame2.npz", "clip-frame2.png"]
    assert sorted(path.name for path in (workplace / "out").iterdir()) == names
    assert sorted(path.name for path in (workplace / "one").iterdir()) == names[2:]
    first, again = (
        np.load(f"{folder}/clip-frame2.npz")["attribution"] for folder in ("out", "one")
    )
    np.testing.assert_array_equal(first, again)


def test_compare_sees_dicom_files_and_their_frames(run, workplace):
    rng = np.random.default_rng(0)
    (workplace / "scans").mkdir()
    save_dicom(workplace / "scans" / "clip.dcm", rng.integers(0, 255, (2, 40, 30)), frames=2)
    save_dicom(workplace / "scans" / "1.2.840", rng.integers(0, 255, (40, 30)))
    usual = ("--model", "factories:net", "--layer", "1", "--size", "32", "--out", "out")
    usual += ("--methods", "LayerGradCam", "--metrics", "complexity")
    result = run("compare", *usual, "--images", "scans")
    assert result.exit_code == 0
    found = list(pd.read_csv("out/results.csv")["file"].unique())
    assert found == ["1.2.840", "clip.dcm#1", "clip.dcm#2"]


def test_a_file_with_a_bad_header_costs_its_own_row(run, explain, workplace):
    rng = np.random.default_rng(0)
    (workplace / "scans").mkdir()
    for name, tags in (("bad", {"NumberOfFrames": b"1A"}), ("good", {})):
        save_dicom(workplace / "scans" / f"{name}.dcm", rng.integers(0, 255, (40, 30)), **tags)
    result = explain(images=["scans/bad.dcm", "scans/good.dcm"])
    assert result.exit_code == 1
    assert "1 of 2 images failed" in " ".join(result.output.split())
    assert (workplace / "out" / "good.npz").exists()
    usual = ("--model", "factories:net", "--layer", "1", "--size", "32", "--num-workers", "0")
    assert run("run", *usual, "--data", "scans", "--out", "run").exit_code == 0
    errors = pd.read_csv("run/errors.csv")
    assert list(errors["item"]) == ["bad.dcm"]
    assert "has an invalid NumberOfFrames" in errors["error"][0]
