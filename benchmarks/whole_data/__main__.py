"""
Measure what a run over a whole data set costs, and whether it survives being killed.

    make bench-run DATA=busbra/images MODELS=models
    make bench-run DATA=busbra/images MODELS=models ARGS="--images 150 --only kills ray"
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from captum_clustered._freed_memory import keep_freed_memory
from whole_data.case import Case
from whole_data.kills import killed_worker, kills
from whole_data.memory import memory
from whole_data.timing import timing

PARTS = ("time", "memory", "kills", "ray")
FEW = 100


def main() -> None:
    """Print the measurements, part by part, and write them as JSON."""
    parser = argparse.ArgumentParser(prog="whole_data", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="Folder of images.")
    parser.add_argument("--models", type=Path, required=True, help="Folder of networks.")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=("time", "memory"))
    parser.add_argument("--images", type=int, help="Number of images (default: all).")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--chunk-size", type=int, default=64)
    parser.add_argument("--num-workers", type=int, default=1)
    parser.add_argument(
        "--default-memory",
        action="store_true",
        help="Leave glibc's settings, which the command line changes.",
    )
    parser.add_argument("--cycles", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out/bench-run.json"))
    options = parser.parse_args()
    if not options.default_memory:
        keep_freed_memory()
    case = Case(
        options.data, options.models, options.images, options.batch_size, options.chunk_size
    )
    found: dict[str, Any] = {}
    for part in options.only:
        if part == "time":
            found[part] = timing(case, options.num_workers)
        elif part == "memory":
            n_images = len(case.items())
            found[part] = memory(case, [min(FEW, n_images), n_images], options.num_workers)
        elif part == "kills":
            found[part] = kills(case, options.cycles, options.num_workers, options.seed)
        else:
            found[part] = killed_worker(case, 2, options.num_workers)
        for name, value in found[part].items():
            shown = f"{value:.4g}" if isinstance(value, float) else value
            print(f"{part:7} {name}: {shown}", flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
