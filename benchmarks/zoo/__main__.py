"""
Check all architectures and write the page.

    make zoo ARGS="--libraries timm monai"
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import importlib
import json
import subprocess
import sys
import warnings
from pathlib import Path

import torch

from zoo.checks import Finding, check
from zoo.page import page, summary

# Each library has a process of its own, which bounds the memory.
LIBRARIES = {
    "torchvision": "torchvision_nets",
    "timm": "timm_nets",
    "transformers": "huggingface_nets",
    "monai": "monai_nets",
    "segmentation_models_pytorch": "segmentation_models_nets",
    "efficientnet_pytorch": "efficientnet_nets",
}
LEAST_SINGLE = 0.9


def main() -> None:
    """Run each library in a process; write the page if all libraries have findings."""
    parser = argparse.ArgumentParser(prog="zoo", description=__doc__)
    parser.add_argument("--libraries", nargs="+", default=list(LIBRARIES), choices=list(LIBRARIES))
    parser.add_argument("--only", default="", help="Architectures whose name contains this.")
    parser.add_argument("--out", type=Path, default=Path("out/zoo"), help="Folder of the findings.")
    parser.add_argument("--page", type=Path, default=Path("docs/zoo.md"))
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        for library in options.libraries:
            _run(library, options.only, options.out)
        return
    for library in options.libraries:
        arguments = ["--here", "--libraries", library, "--only", options.only]
        command = [sys.executable, "-m", "zoo", *arguments, "--out", str(options.out)]
        subprocess.run(command, check=True)  # noqa: S603 - this module
    if options.only:
        return
    findings = [f for library in LIBRARIES for f in _read(options.out / f"{library}.json")]
    options.page.write_text(page(findings), encoding="utf-8")
    print(summary(findings))
    single = sum(f.passes == 1 and not f.per_ablation for f in findings)
    if any(f.faults for f in findings) or single < LEAST_SINGLE * len(findings):
        raise SystemExit("The zoo has faults.")


def _run(library: str, only: str, out: Path) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    findings = []
    for case in importlib.import_module(f"zoo.{LIBRARIES[library]}").cases():
        if only not in case.name:
            continue
        finding = check(case)
        findings.append(finding)
        how = finding.per_ablation[:60] or f"{finding.passes} pass"
        print(
            f"{library} {case.name}: {finding.layer} {finding.shape}, {how}, error "
            f"{finding.error:.0e}, x {finding.cost:.2f} {finding.faults or ''}",
            flush=True,
        )
        gc.collect()
    if not only:
        out.mkdir(parents=True, exist_ok=True)
        text = json.dumps([dataclasses.asdict(f) for f in findings], indent=1)
        (out / f"{library}.json").write_text(text, encoding="utf-8")


def _read(path: Path) -> list[Finding]:
    return [Finding(**found) for found in json.loads(path.read_text(encoding="utf-8"))]


if __name__ == "__main__":
    main()
