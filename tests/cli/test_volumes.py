"""Volumes on the command line."""

import numpy as np
import pytest

pytest.importorskip("nibabel", reason="needs the extra volumes")
pytest.importorskip("highdicom", reason="needs the extra volumes")

import nibabel
from small_volumes import save_series, volume_with_a_spot

NET = ("--model", "small_volumes:net", "--size", "16", "--n-clusters", "2")


def files():
    from pathlib import Path

    return sorted(path.name for path in Path("out").iterdir())


def test_nifti(explain, workplace):
    volume = volume_with_a_spot(np.diag([-1, 2, 3, 1]), (5, 4, 3), (12, 10, 8))
    nibabel.save(volume, "scan.nii.gz")
    result = explain(*NET, "--range", "0,1000", images=["scan.nii.gz"])
    assert result.exit_code == 0, result.output
    assert files() == ["scan-attribution.nii.gz", "scan.npz", "scan.png"]
    assert "0 to 1000 scaled to 0 to 1" in " ".join(result.output.split())
    saved = nibabel.load("out/scan-attribution.nii.gz")
    assert saved.shape == (12, 10, 8)
    np.testing.assert_allclose(saved.affine, volume.affine)


def test_a_dicom_series(explain, workplace):
    rng = np.random.default_rng(0)
    save_series(workplace / "ct.head", rng.integers(0, 2000, (6, 8, 10)))
    result = explain(*NET, "--window", "40,400", images=["ct.head"])
    assert result.exit_code == 0, result.output
    assert files() == ["ct.head-attribution.nii.gz", "ct.head.npz", "ct.head.png"]


def test_what_does_not_fit_the_network_is_said(explain, run, workplace, photo):
    nibabel.save(volume_with_a_spot(np.eye(4), (5, 4, 3), (12, 10, 8)), "scan.nii")
    result = explain(images=["scan.nii"])
    assert result.exit_code == 1
    assert "scan.nii is a volume, and the network takes images." in result.output
    result = explain(*NET, images=[photo])
    assert result.exit_code == 1
    assert "cannot be read as a volume" in " ".join(result.output.split())
    save_series(workplace / "ct", np.ones((6, 8, 10), int))
    result = explain(images=["ct"])
    assert "`captum-clustered run --data ct` explains its images" in result.output
    for command in ("run", "compare"):
        data = "--data" if command == "run" else "--images"
        result = run(command, data, "ct", *NET[:2], "--out", "out2")
        assert result.exit_code == 1
        assert "takes volumes: `captum-clustered explain`" in " ".join(result.output.split())


def test_a_report_of_a_volume_is_refused(explain, run, workplace):
    nibabel.save(volume_with_a_spot(np.eye(4), (5, 4, 3), (12, 10, 8)), "scan.nii")
    assert explain(*NET, images=["scan.nii"]).exit_code == 0
    result = run("report", "out")
    assert result.exit_code == 1
    assert "explains a volume; the report has images only" in " ".join(result.output.split())


def test_layers_of_a_network_of_volumes(run, workplace):
    result = run("layers", "--model", "small_volumes:net", "--size", "16")
    assert "for an input of 16 x 16 x 16" in result.output
    assert "6 x 4 x 4 x 4" in result.output
