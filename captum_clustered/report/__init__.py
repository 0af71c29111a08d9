"""
Write the results of compare, explain or run as one HTML page: :func:`write_report`.

Needs jinja2 and pillow, for results of compare also pandas and scipy, and for
those of run pyarrow and filelock.
"""

from captum_clustered._errors import needs_extra

with needs_extra("captum_clustered.report", "report"):
    from captum_clustered.report.write import write_report

__all__ = ["write_report"]
