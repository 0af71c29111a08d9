"""
Processes of their own for tests that kill or limit them.

They are forks of one process that has imported what they need, which takes longer than most of
these tests. Where there is no fork, each begins anew.
"""

import multiprocessing
import sys
from contextlib import contextmanager

import torch

_METHODS = multiprocessing.get_all_start_methods()
_CONTEXT = multiprocessing.get_context("forkserver" if "forkserver" in _METHODS else "spawn")
_CONTEXT.set_forkserver_preload(
    # torch's imports of the first vmap, too.
    ["captum_clustered.comparison", "captum_clustered.dataset_run", "torch._dynamo"]
)


def _main(function, arguments):
    # One thread: two would wait for each other, spinning, on a machine with other work to do.
    torch.set_num_threads(1)
    sys.exit(function(*arguments))


@contextmanager
def process(function, *arguments):
    """
    Begin a process that calls the function of a module and exits with what it returns.

    It is killed at the end of the context. A fork keeps the open files of its parent's beginning:
    it writes to where the first of them did.
    """
    begun = _CONTEXT.Process(target=_main, args=(function, arguments))
    begun.start()
    try:
        yield begun
    finally:
        begun.kill()
        begun.join()


def exit_code(function, *arguments):
    """Call the function in a process of its own; return the code that it exits with."""
    with process(function, *arguments) as begun:
        begun.join()
        return begun.exitcode
