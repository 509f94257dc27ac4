"""Where training runs: one device, or one in each of several processes that torchrun or SLURM started."""

import os

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import ClusterEnvironment, LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment


def make_fabric(accelerator: str, precision: str) -> Fabric:
    """Launched; `auto` takes CUDA, then MPS, then the CPU, and as precision bf16-mixed on CUDA and 32-true elsewhere.

    Raises:
        ValueError: when the accelerator asked for is not there.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(accelerator, True):
        raise ValueError(f"train.accelerator = {accelerator} but this machine has none; use auto or cpu")
    if accelerator == "auto":
        accelerator = next((name for name, there in available.items() if there), "cpu")
    if precision == "auto":
        precision = "bf16-mixed" if accelerator == "cuda" else "32-true"
    environment, processes = _started_by()
    nodes = environment.world_size() // processes
    strategy = "ddp" if processes * nodes > 1 else "auto"
    fabric = Fabric(
        accelerator=accelerator, devices=processes, num_nodes=nodes, strategy=strategy, precision=precision, plugins=environment
    )
    fabric.launch()
    return fabric


def _started_by() -> tuple[ClusterEnvironment, int]:
    """What started this process, and how many processes it started on each node."""
    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment(), int(os.environ["LOCAL_WORLD_SIZE"])
    if SLURMEnvironment.detect() and "SLURM_STEP_ID" in os.environ:  # which srun sets, and a batch script lacks
        return SLURMEnvironment(), int(os.environ.get("SLURM_NTASKS_PER_NODE", 1))
    return LightningEnvironment(), 1
