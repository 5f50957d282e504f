"""How many threads a model may use: what the user grants, at most one for each physical core.

Standard library only.
"""

import os
import sys
from pathlib import Path

from autocoder.daemon.errors import ConfigError

MOST_THREADS = 8  # one token of a small model is too little work for more


def thread_count(asked: int | None = None) -> int:
    """The threads for one session: as asked, else `AUTOCODER_THREADS`, else the physical cores.

    Never more than the cores this process may run on. Raises ConfigError for less than one.
    """
    setting = os.environ.get("AUTOCODER_THREADS", "") if asked is None else str(asked)
    if not setting:
        return min(physical_cores(), MOST_THREADS)
    if not setting.isdecimal() or int(setting) < 1:
        raise ConfigError(f"{setting!r} threads (AUTOCODER_THREADS): give a number from 1 up")
    return min(int(setting), len(granted_cpus()))


def granted_cpus() -> set[int]:
    """The logical CPUs this process may run on."""
    if sys.platform == "linux":
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def physical_cores() -> int:
    """The physical cores among the granted CPUs, at least 1; a container's CPU quota counts too."""
    cores = {_siblings(cpu) for cpu in granted_cpus()}
    return max(1, min(len(cores), _quota()))


def _siblings(cpu: int) -> str:
    """Names the physical core of a logical CPU: the list of the CPUs that share it."""
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    try:
        return path.read_text().strip()
    except OSError:
        return str(cpu)


def _quota() -> int:
    """The whole CPUs that the control group grants (cgroup v2 `cpu.max`), or many."""
    try:
        granted, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, int(granted) // int(period))
    except (OSError, ValueError):
        return MOST_THREADS
