"""Ray's workers give what one process gives, also if one of them is killed."""

import os
import signal
import sys
from pathlib import Path

import pytest
import torch
from nets import MlpHead
from small_runs import N, Pictures, contents, method, run

from captum_clustered import ClusteredLayerCAM
from captum_clustered.dataset_run import LocalEngine, RayEngine, Run
from captum_clustered.dataset_run import ray as on_ray

ray = pytest.importorskip("ray", reason="needs the extra ray")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.ray]


class Deadly(Pictures):
    """Kills the process that reads the last image but one, once."""

    def __init__(self, flag):
        super().__init__()
        self.flag = flag

    def __getitem__(self, index):
        if index == N - 2 and not self.flag.exists():
            self.flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


class Refusing(Pictures):
    """Makes the folder of the chunks a file, once the run has begun."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def __getitem__(self, index):
        if index == N - 1:
            self.folder.rename(self.folder.with_name("elsewhere"))
            self.folder.touch()
        return super().__getitem__(index)


class Marked(Pictures):
    """The last image is one that Hungry knows."""

    def __getitem__(self, index):
        x, label = super().__getitem__(index)
        return (x.fill_(7) if index == N - 1 else x), label


class Hungry(MlpHead):
    """Runs out of memory on it."""

    def forward(self, x):
        if float(x[0, 0, 0, 0]) == 7:
            raise torch.OutOfMemoryError("no memory is left")
        return super().forward(x)


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """Ray on this machine, for all tests."""
    for tries_left in (2, 1, 0):
        try:
            ray.init(
                num_cpus=2,
                include_dashboard=False,
                log_to_driver=False,
                object_store_memory=100 * 2**20,
                runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}},
            )
            break
        except Exception as error:
            # Ray gives itself 30 seconds, which a busy machine may exceed.
            ray.shutdown()
            if not tries_left or "timed out during startup" not in str(error):
                raise
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What one process gives."""
    folder = tmp_path_factory.mktemp("whole")
    run(folder)
    return contents(folder)


class Relative(Pictures):
    """Is there only in the directory of the process that was called."""

    def __getitem__(self, index):
        Path("marker").stat()
        return super().__getitem__(index)


@pytest.fixture(scope="module")
def in_ray(tmp_path_factory):
    """What Ray's workers give for relative paths, and the calls of progress."""
    calls = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("in_ray"))
        Path("marker").touch()
        run("out", Relative(), engine=RayEngine(), progress=lambda *call: calls.append(call))
        return contents("out"), calls


def test_results_are_the_same_bits_and_relative_paths_mean_the_same(in_ray, whole):
    assert in_ray[0] == whole


def test_progress_is_told(in_ray):
    calls = in_ray[1]
    assert calls[0] == (0, N)
    assert calls[-1] == (N, N)


def test_a_killed_worker_loses_and_doubles_nothing(tmp_path, whole):
    flag = tmp_path / "flag"
    run(tmp_path / "out", Deadly(flag), engine=RayEngine(workers=1))
    assert flag.exists()
    assert contents(tmp_path / "out") == whole


def test_what_fails_in_a_worker_is_raised_here(tmp_path):
    folder = tmp_path / "chunks"
    with pytest.raises(OSError, match="chunks"):
        run(tmp_path, Refusing(folder), engine=RayEngine(workers=1))


def test_what_ends_a_worker_is_named(tmp_path):
    net = Hungry()
    cam = ClusteredLayerCAM(net, net.relu, clusterer=3)
    with pytest.raises(RuntimeError, match="a worker of Ray failed: OutOfMemoryError: no mem"):
        run(tmp_path, Marked(), cam, engine=RayEngine(workers=1))
    # Two chunks of four were whole by then.
    assert len(Run(tmp_path).table()) == 8


@pytest.fixture
def not_started(monkeypatch):
    """As if there were no Ray yet; what is then started is that of these tests."""
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda *_, **__: None)
    monkeypatch.setattr(ray, "shutdown", lambda: None)


def test_an_address_without_a_cluster_is_named(tmp_path, not_started, monkeypatch):
    def fail(*_, **__):
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(ValueError, match=r"address='10\.0\.0\.9:6379' gives no Ray: Could not"):
        run(tmp_path, engine=RayEngine(address="10.0.0.9:6379"))


def test_gpus_that_this_machine_lacks_are_not_waited_for(tmp_path, not_started):
    with pytest.raises(ValueError, match="gpus_per_worker=1 is more than this machine has: 0"):
        run(tmp_path, engine=RayEngine(gpus_per_worker=1))


def test_workers_without_a_gpu_refuse_a_model_on_one():
    cam = method()
    cam.forward_func.to("meta")
    with pytest.raises(ValueError, match=r"gpus_per_worker=0 computes on CPUs.* is on meta"):
        RayEngine().device_name(cam)


def test_the_manifest_says_where_workers_compute():
    assert RayEngine(gpus_per_worker=0.5).device_name(method()).startswith("cuda")
    assert RayEngine().device_name(method()) == LocalEngine().device_name(method())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": 0}, "workers=0 must be an int of at least 1"),
        ({"readers": -1}, "readers=-1 must be an int of at least 0"),
        ({"gpus_per_worker": -0.5}, "gpus_per_worker=-0.5 must be at least 0"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        RayEngine(**arguments)


def test_without_ray_one_sentence(monkeypatch):
    monkeypatch.setattr(on_ray, "find_spec", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install captum_clustered\[ray\]"):
        RayEngine()
