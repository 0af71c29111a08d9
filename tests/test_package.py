import subprocess
import sys

import pytest

import captum_clustered


def test_every_public_name_is_there():
    pytest.importorskip("pandas", reason="compare needs the extra comparison")
    for name in captum_clustered.__all__:
        assert getattr(captum_clustered, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = captum_clustered.nonsense


def test_the_library_itself_needs_neither_pandas_nor_torchvision():
    script = """
import sys
sys.modules.update(dict.fromkeys(["pandas", "torchvision", "typer"]))
import captum_clustered
captum_clustered.ClusteredLayerCAM
try:
    captum_clustered.compare
except ImportError as error:
    assert "captum_clustered[comparison]" in str(error), error
else:
    raise SystemExit("compare was there without pandas")
"""
    result = subprocess.run(  # noqa: S603
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
