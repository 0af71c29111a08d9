import pytest
from small_comparisons import pictures, run

from captum_clustered.comparison.left_out import left_out


def test_each_image_and_each_reason_of_a_method_once():
    def moody(case):
        raise RuntimeError("no")

    images, _, _ = pictures()
    images[1] = float("nan")

    def loader():
        yield images[:3]
        raise OSError("no more")

    with pytest.warns(UserWarning, match="not complete"):
        result = run(data=loader(), methods="LayerGradCam", metrics={"moody": moody})
    found = left_out(result, ["a", "b", "c"])
    assert found[0] == ("b", "ValueError: forward_func gives logits that are not finite.")
    assert found[1] == ("LayerGradCam, moody", "RuntimeError: no")
    assert found[-1][0] == "further images"
    assert "no more" in found[-1][1]
    assert len(found) == len(set(found)) == 1 + 5 + 1
