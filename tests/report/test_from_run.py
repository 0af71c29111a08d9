import base64
import json
import re

import numpy as np
import pytest
import torch
from small_runs import UNREADABLE, Pictures, run

from captum_clustered.dataset_run import Run
from captum_clustered.report import from_run, write_report
from captum_clustered.report.from_run import run_reports


def images_of(path):
    text = path.read_text(encoding="utf-8")
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    return json.loads(data)["images"]


def test_images_have_their_map_scores_and_classes(tmp_path):
    done = run(tmp_path, fit="all")
    (report,) = run_reports(done, Pictures())
    table = done.table()
    rows = [row for row in table.to_pylist() if row["error"] is None]
    assert [image.name for image in report.images] == [row["item"] for row in rows]
    maps = done.attributions(table)[[row["index"] for row in rows]]
    for image, row, values in zip(report.images, rows, maps, strict=True):
        assert image.values[0] == [pytest.approx(row["score"], rel=1e-3)]
        assert image.values[1] == [pytest.approx(row["baseline_score"], rel=1e-3)]
        verdict = "right" if row["label"] == row["prediction"] else "wrong"
        assert image.facts[0] == f"true class: class {row['label']}"
        assert image.facts[1] == f"predicted: class {row['prediction']} ({verdict})"
        (found,) = image.maps
        levels = np.frombuffer(base64.b64decode(found.values), np.int8)
        np.testing.assert_allclose(levels, 127 * values.ravel() / np.abs(values).max(), atol=0.51)
        assert (image.height, image.width) == (12, 10)
        assert image.picture is not None
    assert [name for name, _ in report.left_out] == [str(n) for n in UNREADABLE]


def test_images_can_be_ordered_by_each_shared_cluster(tmp_path):
    done = run(tmp_path, fit="all")
    (report,) = run_reports(done)
    found = np.array(done.table(["importances"])["importances"].drop_null().to_pylist())
    order = np.argsort(-found.mean(0))
    numbers = [number.name for number in report.numbers]
    assert numbers[2:] == [f"importance of cluster {j}" for j in order]
    values = [[value for (value,) in image.values[2:]] for image in report.images]
    np.testing.assert_allclose(values, found[:, order], rtol=1e-3)
    assert [row.name for row in report.summary.rows] == [f"Cluster {j}" for j in order]
    # Columns: channels, mean, share of positive, and those of the classes.
    for row, j in zip(report.summary.rows, order, strict=True):
        assert row.cells[1].order == pytest.approx(found[:, j].mean())
        assert row.cells[2].text == f"{(found[:, j] > 0).mean():.0%}"
    assert report.images[0].facts[-1].startswith("largest importances: cluster ")


def test_clusters_of_each_image_have_only_their_largest_importance(tmp_path):
    done = run(tmp_path)
    (report,) = run_reports(done)
    found = np.array(done.table(["importances"])["importances"].drop_null().to_pylist())
    assert [number.name for number in report.numbers][2:] == ["largest importance"]
    values = [image.values[2][0] for image in report.images]
    np.testing.assert_allclose(values, found.max(1), rtol=1e-3)
    assert report.summary.kind == "Explained class"
    assert sum(row.cells[0].order for row in report.summary.rows) == len(found)


def test_a_large_run_has_pages_of_whole_chunks(tmp_path, monkeypatch):
    done = run(tmp_path)
    monkeypatch.setattr(from_run, "PAGE_IMAGES", 9)
    # Chunks of four images: two on the first page, and the last one with three images.
    assert write_report(tmp_path, tmp_path / "a page.html") == tmp_path / "a page.html"
    pages = [tmp_path / name for name in ("a page.html", "a page-2.html")]
    names = [[image["name"] for image in images_of(page)] for page in pages]
    assert names == [["0", "1", "2", "3", "4", "6", "7"], ["9", "10"]]
    assert not (tmp_path / "a page-3.html").exists()
    for page, other in zip(pages, pages[::-1], strict=True):
        links = re.findall('<nav.*?href="([^"]*)".*?</nav>', page.read_text(), re.DOTALL)
        assert links == [other.name.replace(" ", "%20")]
    assert done.is_complete


def test_the_stored_chunks_of_an_unfinished_run_are_shown(tmp_path):
    run(tmp_path, fit="all")
    (tmp_path / "chunks" / "chunk-0000000.parquet").unlink()
    (report,) = run_reports(Run(tmp_path))
    assert [image.name for image in report.images] == ["4", "6", "7", "9", "10"]
    assert dict(report.facts)["Not finished"] == "only the images of the stored chunks are shown"


def test_pictures_are_of_any_kind(tmp_path):
    done = run(tmp_path)

    class Mixed:
        def __getitem__(self, index):
            return [
                np.full((24, 20, 3), 200, np.uint8),
                (np.full((24, 20), 90, np.uint8), 1),
                torch.zeros(3, 12, 10),
            ][index]

    (report,) = run_reports(done, Mixed())
    sizes = [(image.height, image.width) for image in report.images]
    assert sizes[:4] == [(24, 20), (24, 20), (12, 10), (12, 10)]
    # It has no more items.
    assert report.images[3].picture is None
    assert report.images[3].facts[-1].startswith("the image cannot be read again: IndexError")


def test_no_image_is_explained(tmp_path):
    run(tmp_path)
    for path in (tmp_path / "chunks").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="has no image that is explained"):
        write_report(tmp_path)
