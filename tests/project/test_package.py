import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import captum_clustered


def run(script, *arguments):
    return subprocess.run(  # noqa: S603
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", captum_clustered.__all__)
def test_every_public_name_is_there(name):
    pytest.importorskip("pandas", reason="compare needs the extra comparison")
    pytest.importorskip("pyarrow", reason="dataset_run needs the extra run")
    pytest.importorskip("torchvision", reason="data needs the extra data")
    value = getattr(captum_clustered, name)
    # A module is the module of that name, everything else has its own name.
    assert name in (value.__name__.rpartition(".")[2], "__version__") if name[0] != "_" else value


def test_dir_lists_the_public_names():
    assert set(captum_clustered.__all__) <= set(dir(captum_clustered))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = captum_clustered.nonsense


def test_no_module_is_longer_than_400_lines():
    package = Path(captum_clustered.__file__).parent
    lines = {path: len(path.read_text().splitlines()) for path in package.rglob("*.py")}
    assert [str(path) for path, n in lines.items() if n > 400] == []


HEAVY = ("matplotlib.pyplot", "pandas", "rich", "scipy", "sklearn", "torchvision", "typer")


def test_the_import_itself_loads_nothing():
    result = run(f"""
import sys
import captum_clustered
assert captum_clustered.__version__
print([name for name in {(*HEAVY, "captum", "numpy", "torch")} if name in sys.modules])
""")
    assert result.stdout == "[]\n", result.stderr


NAMES = [
    "ClusteredLayerCAM, Clusters, InputAttribution, tokens_to_map",
    "ImageExplainer, explain, find_layer, load_model, models",
    "data, metrics, read_image, samples, scores, visualization",
]


@pytest.fixture(scope="module")
def loaded():
    """What each group of names loads that is heavy, one after the other in one process."""
    result = run(f"""
import sys
import captum.attr, torch
for names in {NAMES}:
    # Captum 0.8 and 0.9 import pyplot themselves.
    before = set(sys.modules)
    exec(f"from captum_clustered import {{names}}")
    print([name for name in {HEAVY} if name in set(sys.modules) - before])
""")
    assert result.returncode == 0, result.stderr
    return dict(zip(NAMES, result.stdout.splitlines(), strict=True))


@pytest.mark.parametrize("names", NAMES)
def test_names_load_nothing_heavy_that_captum_has_not_loaded(loaded, names):
    assert loaded[names] == "[]"


def test_figures_are_drawn_without_pyplot():
    result = run("""
import sys
import captum.attr, matplotlib, numpy as np
# Captum 0.8 and 0.9 import pyplot themselves.
sys.modules.pop("matplotlib.pyplot", None)
vars(matplotlib).pop("pyplot", None)
from captum_clustered.visualization import visualize_layer_attr, visualize_methods
image = np.zeros((4, 4))
visualize_layer_attr(np.eye(2), image, use_pyplot=False)[0].draw_without_rendering()
visualize_methods({"a": [np.eye(2)]}, [image], use_pyplot=False)[0].draw_without_rendering()
print("matplotlib.pyplot" in sys.modules)
""")
    assert result.stdout == "False\n", result.stderr


def test_the_library_itself_needs_no_optional_package(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    script = """
import sys
sys.modules.update(dict.fromkeys(["pandas", "pyarrow", "torchvision", "typer"]))
import captum_clustered
captum_clustered.ClusteredLayerCAM
from captum_clustered.data import MaskedImages, Sample, make_preprocessing, read_image, read_mask
path = sys.argv[1]
make_preprocessing()(read_image(path))
masked = MaskedImages(".", [Sample(path, 0, lambda size: read_mask(path, size))], ["a"])
uses = {"comparison": lambda: captum_clustered.compare, "data": lambda: masked[0]}
for extra, use in uses.items():
    try:
        use()
    except ImportError as error:
        assert f"captum_clustered[{extra}]" in str(error), error
    else:
        raise SystemExit(f"{extra} was there without its dependencies")
"""
    result = run(script, str(tmp_path / "a.png"))
    assert result.returncode == 0, result.stderr
