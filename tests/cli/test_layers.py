"""The command layers."""

import pytest
import small_factories
import torch


def rows(output):
    """The table's rows by layer."""
    lines = [line.strip() for line in output.splitlines()]
    cells = [[c for c in line.split("  ") if c.strip()] for line in lines]
    return {row[0]: [c.strip() for c in row[1:]] for row in cells if row}


class TestCommand:
    def test_resnet50(self, run):
        result = run("layers", "--model", "resnet50")
        table = rows(result.stdout)
        assert result.exit_code == 0
        assert table["layer4"] == ["Sequential", "2048 x 7 x 7", "map", "<- usual choice"]
        assert table["layer1.0"] == ["Bottleneck", "256 x 56 x 56", "map"]
        assert table["avgpool (input)"][1:] == ["2048 x 7 x 7", "map", "use --layer-input"]
        assert result.stdout.count("usual choice") == 1
        assert not {"layer1.0.conv1", "fc", "avgpool"} & set(table)

    def test_all(self, run):
        table = rows(run("layers", "--model", "resnet18", "--all").stdout)
        assert table["layer1.0.conv1"] == ["Conv2d", "64 x 56 x 56", "map"]
        assert "fc" not in table

    def test_size(self, run):
        table = rows(run("layers", "--model", "resnet18", "--size", "64").stdout)
        assert table["layer4"][1] == "512 x 2 x 2"

    @pytest.mark.parametrize(
        ("model", "usual"),
        [
            ("vgg11", "features"),
            ("squeezenet1_1", "features"),
            ("densenet121", "features"),
            ("swin_t", "permute"),
            ("vit_b_32", "encoder.layers.encoder_layer_11.ln_1"),
        ],
    )
    def test_usual_choice(self, run, model, usual):
        table = rows(run("layers", "--model", model).stdout)
        assert [name for name, row in table.items() if "<- usual choice" in " ".join(row)] == [
            usual
        ]

    def test_channel_dim(self, run):
        table = rows(run("layers", "--model", "swin_t").stdout)
        assert table["norm"][2:] == ["map, channels last", "use --channel-dim -1"]

    def test_own_size_of_the_weights(self, run):
        assert "299 x 299" in run("layers", "--model", "inception_v3").stdout

    def test_factory(self, run):
        table = rows(run("layers", "--model", "factories:gray", "--size", "32").stdout)
        assert table["1"] == ["ReLU", "12 x 8 x 8", "map", "<- usual choice"]
        assert table["2 (input)"][-1] == "use --layer-input"

    def test_weights_that_explain_takes(self, run, tmp_path):
        torch.save(small_factories.gray().state_dict(), tmp_path / "gray.pt")
        options = ("--model", "factories:gray", "--size", "32")
        table = rows(run("layers", *options, "--weights", "gray.pt").stdout)
        assert table == rows(run("layers", *options).stdout)
        result = run("layers", *options, "--weights", "other.pt")
        assert result.exit_code == 1
        assert "There is no file other.pt with weights" in result.stderr

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (("--model", "resnet5"), "no image classification model 'resnet5'"),
            (("--model", "vit_b_16", "--size", "100"), "vit_b_16 fails on an input of shape"),
            (("--model", "factories:maps"), "must return the logits"),
        ],
    )
    def test_bad_input(self, run, arguments, expected):
        result = run("layers", *arguments)
        assert result.exit_code == 1
        assert expected in result.stderr

    def test_no_maps(self, run, tmp_path):
        (tmp_path / "flat.py").write_text(
            "from torch import nn\n"
            "def net(): return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))\n"
        )
        result = run("layers", "--model", "flat:net", "--size", "8")
        assert result.exit_code == 1
        assert "has no layer that is a spatial map in its upper two levels" in result.stderr
