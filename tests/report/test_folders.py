from dataclasses import replace

import pytest
from made_up_runs import write_explain_run

from captum_clustered.report.content import Failed, Report
from captum_clustered.report.folders import without_folders
from captum_clustered.report.from_explanations import explain_report


@pytest.fixture
def report(tmp_path) -> Report:
    write_explain_run(tmp_path, n_images=2)
    return explain_report(sorted(tmp_path.glob("*.npz")), tmp_path / "left_out.json")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["/home/me/a.png", "/home/me/b.png"], ["a.png", "b.png"]),
        (["/home/me/one/a.png", "/home/me/two/a.png"], ["one/a.png", "two/a.png"]),
        (["scans/a.png", "scans/b.png"], ["scans/a.png", "scans/b.png"]),
    ],
)
def test_images_keep_what_tells_them_apart(report, names, expected):
    images = [replace(image, name=n) for image, n in zip(report.images, names, strict=True)]
    rows = [replace(row, name=n) for row, n in zip(report.summary.rows, names, strict=True)]
    given = replace(report, images=images, summary=replace(report.summary, rows=rows))
    found = without_folders(given)
    assert [image.name for image in found.images] == expected
    assert [row.name for row in found.summary.rows] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/me/my scans", "my scans"),
        ("There is no file /home/me/x.png.", "There is no file x.png."),
        ("resnet50 with '/srv/w.pt', layer4", "resnet50 with 'w.pt', layer4"),
        ("see https://a.org/b/c.html", "see https://a.org/b/c.html"),
        ("scans/a/b.png: 3/4, and/or </script>", "scans/a/b.png: 3/4, and/or </script>"),
    ],
)
def test_texts_lose_the_folders_of_paths(report, text, expected):
    image = replace(report.images[0], facts=[text], maps=[Failed(text)])
    given = replace(report, facts=[("Folder", text)], left_out=[(text, text)], images=[image])
    found = without_folders(given)
    assert found.facts == [("Folder", expected)]
    assert found.left_out == [(expected, expected)]
    assert found.images[0].facts == [expected]
    assert found.images[0].maps == [Failed(expected)]
