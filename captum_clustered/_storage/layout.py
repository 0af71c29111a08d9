"""Names of the files that one part of the package writes and another reads, each declared once."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from captum_clustered._storage.atomic import read_json_object, write_json

# Folder of comparison.compare(save_to=...).
SETTINGS = "settings.json"
FINISHED = "finished.json"

# Folder of the command compare. STATE is its save_to; RUN holds a RunDescription.
STATE = "state"
RUN = "run.json"

# Folder of the command explain: one .npz file per image, and the images it left out.
LEFT_OUT = "left_out.json"

# Folder of dataset_run.explain_dataset.
MANIFEST = "manifest.json"
CHUNKS = "chunks"
CLUSTERS = "clusters.json"
ERRORS = "errors.csv"
LOCK = "lock"
# Written by the command run, so that the command clusters can load model and data again.
COMMAND = "command.json"

# dataset_run.ClusterSummary.save and the command clusters.
CLUSTER_MEANS = "clusters.csv"
CLUSTER_EXAMPLES = "cluster_examples.csv"
CLUSTER_SHEET = "clusters.png"

REPORT = "report.html"


@dataclass(frozen=True)
class RunDescription:
    """What the command compare knows about its run beyond the stored comparison."""

    # Headings and values for the top of a report.
    facts: dict[str, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)  # file name of each image
    # Files that were not compared, and the reasons.
    left_out: list[tuple[str, str]] = field(default_factory=list)
    classes: dict[int, str] = field(default_factory=dict)  # names of the classes that occur

    def save(self, folder: Path) -> None:
        """Write ``run.json``."""
        write_json(folder / RUN, asdict(self))

    @classmethod
    def load(cls, folder: Path) -> RunDescription:
        """Read ``run.json``, empty if there is none; raise ValueError if it is damaged."""
        path = folder / RUN
        if not path.exists():
            return cls()
        content = read_json_object(path)
        try:
            found = cls(**(content or {"damaged": True}))
            return cls(
                dict(found.facts),
                list(found.names),
                read_left_out_pairs(found.left_out),
                {int(number): str(name) for number, name in found.classes.items()},
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"{path} is damaged. Start compare again with the same options."
            ) from error


def read_left_out_pairs(content: Any) -> list[tuple[str, str]]:
    """Return names and reasons from parsed JSON; anything else raises TypeError or ValueError."""
    return [(str(name), str(reason)) for name, reason in content]
