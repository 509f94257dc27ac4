"""Where training runs: one device, or one in each of several processes.

The processes are those that torchrun or SLURM started.
"""

import contextlib
import os
import platform
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)

from pisces.core.files import read_json, write_json
from pisces.core.hardware import gpu_complaints
from pisces.models.precision import resolve
from pisces.training.settings import Precision

CPU_INFO = Path("/proc/cpuinfo")


def make_fabric(accelerator: str, precision: Precision, model: str = "") -> Fabric:
    """A launched Fabric.

    Args:
        accelerator: cpu, cuda or mps; `auto` takes CUDA, then MPS, then the CPU.
        precision: as Fabric names it, or `auto`; see `models.precision.resolve`.
        model: name of the model that is trained, by which `auto` chooses on a CPU.

    Returns:
        What moves a model and its batches to the device, one in each process.

    Raises:
        ValueError: when the accelerator is not there, or SLURM started processes that would not
            find each other.
    """
    with gpu_complaints():
        has_cuda = torch.cuda.is_available()
    available = {"cuda": has_cuda, "mps": torch.backends.mps.is_available()}
    if not available.get(accelerator, True):
        raise ValueError(
            f"train.accelerator = {accelerator} but this machine has none; use auto or cpu"
        )
    if accelerator == "auto":
        accelerator = next((name for name, there in available.items() if there), "cpu")

    environment, processes = _started_by()
    nodes = environment.world_size() // processes
    strategy = "ddp" if processes * nodes > 1 else "auto"
    fabric = Fabric(
        accelerator=accelerator,
        devices=processes,
        num_nodes=nodes,
        strategy=strategy,
        precision=resolve(precision, accelerator, model),
        plugins=environment,
    )
    fabric.launch()
    torch.backends.cudnn.deterministic = True  # the same weights from the same params
    return fabric


def describe(fabric: Fabric) -> dict[str, str | int]:
    """Where and how training runs: what its speed, and the last digits of its numbers, hang on."""
    return {
        "device": _device_name(fabric.device),
        "accelerator": fabric.device.type,
        "precision": fabric.strategy.precision.precision,
        "processes": fabric.world_size,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def announce(fabric: Fabric, folder: Path) -> str:
    """What training runs on, in words, and what of it changed since its checkpoint was made.

    Args:
        fabric: where it runs.
        folder: of the checkpoint, in which this is noted for whoever resumes.

    Returns:
        A line, and where a resumed training runs otherwise, a second one.
    """
    now, note = describe(fabric), folder / "made_on.json"
    text = "training on {device} ({accelerator}), {precision}".format(**now)
    text += "; processes: {processes}, threads of each: {threads}".format(**now)

    before = _read_note(note) or now
    changed = [key for key in now if before.get(key) != now[key]]
    if changed:
        changes = ", ".join(f"{key} {before.get(key)} -> {now[key]}" for key in changed)
        text += (
            f"\nwarning: resumed with {changes}; "
            "the model will not be, byte by byte, the one of a training in one go"
        )
    if fabric.is_global_zero:
        write_json(note, now)
    return text


def _read_note(note: Path) -> dict[str, Any]:
    """What an earlier run was made on; empty where there was none, or its note is damaged."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        found = read_json(note)
        if isinstance(found, dict):
            return found
    return {}


def _device_name(device: torch.device) -> str:
    """Of a GPU, or else of the processor, as far as the system tells."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if CPU_INFO.is_file():
        lines = CPU_INFO.read_text().splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        if models:
            return models[0]
    return platform.processor() or platform.machine()


def _started_by() -> tuple[ClusterEnvironment, int]:
    """What started this process, and how many processes it started on each node."""
    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment(), int(os.environ["LOCAL_WORLD_SIZE"])
    if "SLURM_STEP_ID" not in os.environ:  # which srun sets, and a batch script lacks
        return LightningEnvironment(), 1
    # A shell has only the number of tasks of the whole job.
    tasks = int(os.environ.get("SLURM_STEP_NUM_TASKS") or os.environ.get("SLURM_NTASKS", "1"))
    if tasks == 1:
        return LightningEnvironment(), 1
    # Not detected in a job that is named bash or interactive, as those of salloc are.
    if not SLURMEnvironment.detect():
        raise ValueError(
            f"srun started {tasks} processes in a job named {SLURMEnvironment.job_name()}, "
            "where each would train by itself; submit the job with sbatch, or export "
            "SLURM_JOB_NAME=train before srun, or start one process with srun --ntasks 1"
        )
    # First of all, as its message helps more than Lightning's own.
    processes = _tasks_per_node(tasks)
    return SLURMEnvironment(), processes


def _tasks_per_node(tasks: int) -> int:
    """How many of the `tasks` processes of srun are on each node.

    It says so only where --ntasks-per-node was set.
    """
    each = os.environ.get("SLURM_NTASKS_PER_NODE")
    if each is None or tasks % int(each):
        raise ValueError(
            f"srun started {tasks} processes with --ntasks-per-node {each or 'not set'}; "
            "set it to the number of processes on each node, "
            "as in train.launcher = srun --ntasks-per-node 4 python, and leave --ntasks out"
        )
    return int(each)
