import subprocess
import sys

import pytest

import captum_clustered


def test_every_public_name_is_there():
    pytest.importorskip("pandas", reason="compare needs the extra comparison")
    pytest.importorskip("torchvision", reason="data needs the extra data")
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
for name, extra in {"compare": "comparison", "data": "data"}.items():
    try:
        getattr(captum_clustered, name)
    except ImportError as error:
        assert f"captum_clustered[{extra}]" in str(error), error
    else:
        raise SystemExit(f"{name} was there without its dependencies")
"""
    result = subprocess.run(  # noqa: S603
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
