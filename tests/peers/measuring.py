"""Runs a command and says what it took: wall time, processor time of its whole process tree, peak memory."""

import os
import pathlib
import subprocess
import time
from dataclasses import dataclass


# Lines of a failed command's standard error that are shown.
LAST_WORDS = 20


class RunFailed(Exception):
    """A command failed, or did not do what it was started for."""

    def __init__(self, what, log):
        lines = pathlib.Path(log).read_text(errors="replace").splitlines()
        super().__init__("\n".join([what, *lines[-LAST_WORDS:]]))


@dataclass
class Cost:
    """What one run took."""

    wall_s: float
    # User and system time of the process and of all its descendants that were waited for.
    cpu_s: float
    # Largest resident set of any one process of the tree: the kernel keeps no figure for a tree together.
    peak_mb: float


def run(command, output, log):
    """Runs `command` with its standard output in the file `output` and its standard error in the file `log`."""
    with open(output, "wb") as stdout, open(log, "wb") as stderr:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
        # Popen.wait would throw the usage away.
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RunFailed(f"{command[0]} ended with {process.returncode}", log)
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
