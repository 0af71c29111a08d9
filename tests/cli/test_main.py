"""The entry point."""

import subprocess
import sys

import pytest

import captum_clustered
from captum_clustered import cli
from captum_clustered.cli.app import COMMANDS


class TestMain:
    @pytest.mark.parametrize("name", ["typer", "matplotlib", "PIL", "torchvision"])
    def test_without_the_extra(self, monkeypatch, name):
        find_spec = cli.find_spec
        monkeypatch.setattr(cli, "find_spec", lambda n: None if n == name else find_spec(n))
        with pytest.raises(SystemExit) as caught:
            cli.main()
        # A string is printed to stderr, and the status is 1.
        assert (
            caught.value.code == f"captum-clustered needs {name}: pip install captum_clustered[cli]"
        )

    def test_exit_status_without_the_extra(self):
        code = "import captum_clustered.cli as c; c.find_spec = lambda n: None; c.main()"
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert "pip install captum_clustered[cli]" in done.stderr

    def test_runs(self, monkeypatch, capsys):
        monkeypatch.setattr(sys, "argv", ["captum-clustered", "--version"])
        calls = []
        # Not in the process of the tests.
        monkeypatch.setattr(cli, "keep_freed_memory", lambda: calls.append("kept"))
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert caught.value.code == 0
        assert calls == ["kept"]
        assert capsys.readouterr().out == f"{captum_clustered.__version__}\n"


class TestHelp:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command(self, run, command):
        assert f" {command} " in run("--help").stdout
        result = run(command, "--help")
        assert result.exit_code == 0
        # What --help says of it is the first line of what it says itself.
        assert COMMANDS[command] in " ".join(result.stdout.split())

    def test_imports_nothing_heavy(self):
        code = (
            "import sys; from captum_clustered.cli.app import app; "
            "print(bool({'torch', 'numpy', 'matplotlib', 'pandas'} & set(sys.modules)))"
        )
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout == "False\n"

    def test_missing_option_is_a_usage_error(self, run):
        result = run("explain", "a.png")
        assert result.exit_code == 2
        assert "Missing option" in result.stderr

    def test_unknown_command(self, run):
        result = run("explian")
        assert result.exit_code == 2
        assert "No such command 'explian'" in result.stderr

    @pytest.mark.parametrize(
        ("command", "package", "extra"),
        [("compare", "pandas", "comparison"), ("run", "pyarrow", "run")],
    )
    def test_a_command_without_its_extra(self, command, package, extra):
        # In a process of its own: a second import here would leave two classes of each name.
        code = (
            f"import sys; sys.modules[{package!r}] = None; "
            f"sys.argv = ['captum-clustered', {command!r}, '--help']; "
            "from captum_clustered.cli import main; main()"
        )
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert done.stderr == (
            f"Error: {command} needs {package}, which is not installed: pip install "
            f"captum_clustered[{extra}]\n"
        )
