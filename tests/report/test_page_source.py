import base64
import hashlib
import html
import json
import re

import pytest
from made_up_runs import AWKWARD, write_compare_run

from captum_clustered.report import write_report
from captum_clustered.report.page import breakable


@pytest.fixture
def page(tmp_path):
    write_compare_run(tmp_path)
    return write_report(tmp_path).read_text(encoding="utf-8")


def digest(text):
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_the_policy_allows_the_style_and_script_of_the_page_alone(page):
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    policy = html.unescape(policy)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert policy.split("; ") == [
        "default-src 'none'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        f"style-src '{digest(style)}'",
        f"script-src '{digest(script)}'",
    ]


def test_names_may_be_broken_where_a_word_starts():
    assert breakable("ClusteredLayerCAM, <i>") == "Clustered<wbr>Layer<wbr>CAM, &lt;i&gt;"
    assert breakable("Fake-CAM") == "Fake-CAM"


def test_nothing_is_loaded_from_elsewhere(page):
    assert re.findall(r"""(?:src|href)=["']?([^"'> ]+)""", page) == ["data:,", "#images-heading"]
    addresses = set(re.findall(r"https?://[^\s\"'<]+", page))
    assert addresses == {"http://www.w3.org/2000/svg"}


def test_names_stay_texts_in_markup_and_in_data(page):
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert json.loads(data)["images"][0]["name"] == AWKWARD
    assert AWKWARD not in page
    assert "&lt;no&gt; image" in page
    assert page.count("</script>") == 2


def test_is_strict_json_without_what_is_no_number(page):
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)

    def no_constant(name):
        raise AssertionError(name)

    json.loads(data, parse_constant=no_constant)
