"""Write the documentation page of the zoo from its findings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zoo.checks import Finding

__all__ = ["page", "plain_words", "summary"]

TITLES = {
    "torchvision": "torchvision",
    "timm": "timm",
    "transformers": "Hugging Face transformers",
    "monai": "MONAI",
    "segmentation_models_pytorch": "segmentation_models_pytorch",
    "efficientnet_pytorch": "efficientnet_pytorch",
}

# What vmap's errors say, for people.
REASONS = {
    "autograd.Function": "it has an `autograd.Function` that `torch.func.vmap` cannot run",
    "dynamic shape": "the number of boxes depends on their scores",
    "data-dependent": "its control flow depends on the layer's values",
    "item()": "its control flow depends on the layer's values",
    "inplace arithmetic": "it writes ablated values in place into a tensor that is not ablated",
    "in-place": "it writes ablated values in place into a tensor that is not ablated",
}

INTRODUCTION = """# Does it work with my network?

```sh
make zoo
```

builds {n} published architectures with random weights, explains small images of noise, compares
every drop with ablation by plain hooks, and writes this page. It takes about half an hour on 2
cores. The libraries below are installed; no weights are downloaded.

- All drops are right to one thousandth of the largest, and every network is bitwise as it was:
  parameters, buffers, modes, hooks, attributes, `requires_grad`. Faults found: {faults}.
- {single} of {n} ({percent:.0f} %) need one forward pass. The others need one for each ablation,
  with a warning and the same result; the column **passes** says why.
- **layer** is Python code after `net.`. A check mark (✓) means that
  [`find_layer(net)`](reference/models.md) returns it.
- **arguments** are those of `ClusteredLayerCAM`, and `attribute_to_layer_input`, which is one of
  `attribute`. A number of prefix tokens is `n_prefix` of `tokens_to_map`.
- **score** is the function to explain, if the network does not return logits (N, classes):
  `ClusteredLayerCAM(lambda x: score, net.layer)`.
- **x forward** is the processor time of `attribute` with 10 clusters as a multiple of one plain
  forward pass, from the least to the largest in the row. Networks and images are small here, so
  that a few milliseconds for clustering count a lot; [What it costs](performance.md) has usual
  sizes. What follows the layer runs for each cluster: much of the network in a U-Net.
"""


def summary(findings: Sequence[Finding]) -> str:
    """Return the counts of each library as lines."""
    lines = []
    for library in [*TITLES, ""]:
        chosen = [f for f in findings if f.library == library or not library]
        single = sum(_is_single(f) for f in chosen)
        faults = sum(bool(f.faults) for f in chosen)
        lines.append(
            f"{library or 'all'}: {len(chosen)} architectures, {single} in one pass, "
            f"{sum(bool(f.per_ablation) for f in chosen)} per ablation, {faults} with faults"
        )
    return "\n".join(lines)


def page(findings: Sequence[Finding]) -> str:
    """Return the page as Markdown."""
    faulty = [f for f in findings if f.faults]
    single = sum(map(_is_single, findings))
    named = "; ".join(f"{f.library} {f.name}: {', '.join(f.faults)}" for f in faulty)
    parts = [
        INTRODUCTION.format(
            n=len(findings),
            single=single,
            percent=100 * single / max(1, len(findings)),
            faults=named or "none",
        )
    ]
    for library, title in TITLES.items():
        chosen = [f for f in findings if f.library == library]
        if chosen:
            parts.append(f"## {title}\n\n{_table(chosen)}")
    return "\n".join(parts)


def plain_words(failure: str) -> str:
    """
    Return why a network runs once for each ablation.

    Raises:

        ValueError: If the reason is not known yet.
    """
    for sign, reason in REASONS.items():
        if sign in failure:
            return reason
    raise ValueError(f"zoo/page.py has no plain words for: {failure}")


def _is_single(finding: Finding) -> bool:
    return finding.passes == 1 and not finding.per_ablation


def _table(findings: Iterable[Finding]) -> str:
    rows: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        rows.setdefault((finding.family, *_how(finding)), []).append(finding)
    lines = ["| architectures | layer | arguments | score | passes | x forward |"]
    lines.append("| --- | --- | --- | --- | --- | ---: |")
    for (family, *how), members in sorted(rows.items()):
        names = ", ".join(f.name for f in members)
        lines.append(f"| **{family}**: {names} | {' | '.join(how)} | {_costs(members)} |")
    return "\n".join(lines) + "\n"


def _how(finding: Finding) -> tuple[str, str, str, str]:
    arguments = []
    if finding.channel_dim != 1:
        arguments.append(f"`channel_dim={finding.channel_dim}`")
    if finding.at_input:
        arguments.append("`attribute_to_layer_input=True`")
    if finding.n_prefix is not None:
        plural = "" if finding.n_prefix == 1 else "s"
        arguments.append(f"{finding.n_prefix or 'no'} prefix token{plural}")
    passes = str(finding.passes)
    if finding.per_ablation:
        passes = f"one per ablation: {plain_words(finding.per_ablation)}"
    return (
        f"`{finding.layer}`" + (" ✓" if finding.is_usual else ""),
        ", ".join(arguments),
        "" if finding.score == "net(x)" else f"`{finding.score}`",
        passes,
    )


def _costs(findings: Iterable[Finding]) -> str:
    costs = [f"{f.cost:.1f}" for f in sorted(findings, key=lambda f: f.cost)]
    return costs[0] if costs[0] == costs[-1] else f"{costs[0]} to {costs[-1]}"
