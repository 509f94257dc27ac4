"""Interleaved, repeated timing.

On a shared machine the noise then falls on all contestants alike.
"""

import os
import platform
import time
from collections.abc import Callable
from datetime import date
from statistics import median

import torch


def interleave(
    contestants: dict[str, Callable[[], object]],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each call, in `repeats` rounds that run every contestant once.

    One round before them warms up.

    Args:
        contestants: name -> what is timed.
        repeats: rounds that count.
        clock: seconds; `time.process_time` counts those of this process's cores alone.

    Returns:
        Name -> seconds of each round.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for round_ in range(repeats + 1):
        for name, call in contestants.items():
            start = clock()
            call()
            if round_:
                seconds[name].append(clock() - start)
    return seconds


def medians(seconds: dict[str, list[float]]) -> dict[str, float]:
    return {name: median(values) for name, values in seconds.items()}


def machine_and_date() -> str:
    """The processor, the cores this process may use, torch, and today: what a figure needs."""
    with open("/proc/cpuinfo") as file:
        model = next(
            (line.split(":")[1].strip() for line in file if line.startswith("model name")),
            platform.processor(),
        )
    cores, threads = len(os.sched_getaffinity(0)), torch.get_num_threads()
    software = f"torch {torch.__version__} with {threads} threads"
    return f"{model}, {cores} cores, {software}, {date.today()}"
