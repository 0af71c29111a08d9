"""
Write the results of compare, explain or run as one HTML page: :func:`write_report`.

Needs jinja2 and pillow, for results of compare also pandas and scipy, and for
those of run pyarrow and filelock.
"""

try:
    from captum_clustered.report.write import write_report
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"captum_clustered.report needs {error.name}, which is not installed. Install "
        "captum_clustered[report].",
        name=error.name,
    ) from error

__all__ = ["write_report"]
