"""
Clustered-CAM for Captum: class activation maps without gradients.

Every name is imported when it is first used, so that ``import captum_clustered`` is fast and
asks for no optional dependency.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from captum_clustered._version import __version__

if TYPE_CHECKING:
    from captum_clustered import (
        comparison,
        data,
        dataset_run,
        explain,
        metrics,
        models,
        report,
        samples,
        scores,
        views,
        visualization,
    )
    from captum_clustered.clustered_layer_cam import ClusteredLayerCAM
    from captum_clustered.clusters import Clusters
    from captum_clustered.comparison import Comparison, compare
    from captum_clustered.data import read_image
    from captum_clustered.dataset_run import explain_dataset
    from captum_clustered.explain import ExplainerSettings, Explanation, ImageExplainer
    from captum_clustered.input_attribution import InputAttribution
    from captum_clustered.models import find_layer, load_model
    from captum_clustered.multi_layer_attribution import MultiLayerAttribution
    from captum_clustered.report import write_report
    from captum_clustered.test_time_augmentation import TestTimeAugmentation
    from captum_clustered.tokens import tokens_to_map

__all__ = [
    "ClusteredLayerCAM",
    "Clusters",
    "Comparison",
    "ExplainerSettings",
    "Explanation",
    "ImageExplainer",
    "InputAttribution",
    "MultiLayerAttribution",
    "TestTimeAugmentation",
    "__version__",
    "compare",
    "comparison",
    "data",
    "dataset_run",
    "explain",
    "explain_dataset",
    "find_layer",
    "load_model",
    "metrics",
    "models",
    "read_image",
    "report",
    "samples",
    "scores",
    "tokens_to_map",
    "views",
    "visualization",
    "write_report",
]

# The module that has each name; the other names of __all__ are modules themselves.
_MODULES = {
    "ClusteredLayerCAM": "clustered_layer_cam",
    "Clusters": "clusters",
    "Comparison": "comparison",
    "ExplainerSettings": "explain",
    "Explanation": "explain",
    "ImageExplainer": "explain",
    "InputAttribution": "input_attribution",
    "MultiLayerAttribution": "multi_layer_attribution",
    "TestTimeAugmentation": "test_time_augmentation",
    "compare": "comparison",
    "explain_dataset": "dataset_run",
    "find_layer": "models",
    "load_model": "models",
    "read_image": "data",
    "tokens_to_map": "tokens",
    "write_report": "report",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_MODULES.get(name, name)}")
    # Kept, so that the next access does not come here.
    value = globals()[name] = getattr(module, name) if name in _MODULES else module
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
