"""Where training runs is said by whoever started the process; nothing is launched here (see
test_training.py for that).
"""

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import (
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)

from pisces.training import devices

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "1",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
    "GROUP_RANK": "1",
}
SLURM = {"SLURM_JOB_NAME": "train", "SLURM_JOB_ID": "1", "SLURM_STEP_ID": "0", "SLURM_NODEID": "1"}
SIZES = {
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "SLURM_NTASKS",
    "SLURM_NTASKS_PER_NODE",
    "SLURM_NNODES",
    "SLURM_STEP_NUM_TASKS",
}
VARIABLES = {*TORCHRUN, *SLURM, *SIZES}


@pytest.fixture
def start(monkeypatch):
    """What `make_fabric` makes of environment variables; no other process is reached for."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Fabric, "launch", lambda _: None)

    def start(
        environment: dict[str, str],
        accelerator: str = "cpu",
        precision: str = "auto",
        model: str = "pixel_set",
    ) -> Fabric:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return devices.make_fabric(accelerator, precision, model)

    return start


def torchrun(world: int, local: int, rank: int) -> dict[str, str]:
    return TORCHRUN | {
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(local),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank % local),
    }


def slurm(tasks: int, each: int, rank: int) -> dict[str, str]:
    nodes = {"SLURM_NTASKS_PER_NODE": str(each), "SLURM_NNODES": str(tasks // each)}
    step = {"SLURM_NTASKS": str(tasks), "SLURM_STEP_NUM_TASKS": str(tasks)}
    return SLURM | nodes | step | {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank % each)}


@pytest.mark.parametrize(
    ("environment", "kind", "processes", "nodes"),
    [
        ({}, LightningEnvironment, 1, 1),
        (torchrun(1, 1, 0), TorchElasticEnvironment, 1, 1),
        (torchrun(2, 2, 1), TorchElasticEnvironment, 2, 1),
        (torchrun(6, 2, 3), TorchElasticEnvironment, 2, 3),
        (slurm(1, 1, 0), SLURMEnvironment, 1, 1),
        (slurm(4, 4, 3), SLURMEnvironment, 4, 1),
        (slurm(8, 4, 5), SLURMEnvironment, 4, 2),
    ],
)
def test_processes_and_nodes_are_those_of_the_launcher(start, environment, kind, processes, nodes):
    fabric = start(environment)
    one = processes * nodes == 1
    assert type(fabric.strategy).__name__ == ("SingleDeviceStrategy" if one else "DDPStrategy")
    if not one:
        environment = fabric.strategy.cluster_environment
        assert isinstance(environment, kind)
        assert (fabric.strategy.num_processes, fabric.strategy.num_nodes) == (processes, nodes)
        environment.validate_settings(processes, nodes)
        assert environment.world_size() == processes * nodes


@pytest.mark.parametrize("name", ["bash", "interactive", "train"])
def test_a_shell_in_a_job_is_one_process(start, name):
    """That of `srun --pty bash` or of salloc, from which a python is started by hand: a step of a
    single task in a job of several.
    """
    fabric = start(slurm(4, 4, 0) | {"SLURM_JOB_NAME": name, "SLURM_STEP_NUM_TASKS": "1"})
    assert (fabric.world_size, fabric.is_global_zero) == (1, True)


@pytest.mark.parametrize("name", ["bash", "interactive"])
@pytest.mark.parametrize("rank", [0, 3])
def test_several_processes_in_an_interactive_job_do_not_train_apart(start, name, rank):
    said = rf"4 processes in a job named {name}, .*sbatch, or export SLURM_JOB_NAME=train"
    with pytest.raises(ValueError, match=said):
        start(slurm(4, 4, rank) | {"SLURM_JOB_NAME": name})
    assert start({"SLURM_JOB_NAME": "train"}).world_size == 4  # the remedy


def test_srun_without_a_number_of_tasks_on_each_node(start):
    """As with `srun -n 4`, whose processes may lie on any nodes."""
    environment = slurm(4, 4, 2)
    del environment["SLURM_NTASKS_PER_NODE"]
    with pytest.raises(
        ValueError,
        match=r"4 processes with --ntasks-per-node not set; set it to the number",
    ):
        start(environment)
    assert start({"SLURM_NTASKS_PER_NODE": "4"}).world_size == 4


@pytest.mark.parametrize("tasks", [2, 6])
def test_srun_with_nodes_that_are_not_full(start, tasks):
    with pytest.raises(
        ValueError,
        match=rf"{tasks} processes with --ntasks-per-node 4; set it to .* leave --ntasks out",
    ):
        start(slurm(tasks, 4, 1))


@pytest.mark.parametrize(
    "left_out", [{"SLURM_STEP_ID"}, {"SLURM_STEP_ID", "SLURM_NTASKS_PER_NODE"}]
)
def test_a_batch_script_is_one_process_until_it_calls_srun(start, left_out):
    """It has the variables of the whole job, but for the step."""
    fabric = start({name: value for name, value in slurm(4, 4, 0).items() if name not in left_out})
    assert (fabric.world_size, fabric.is_global_zero) == (1, True)


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_an_accelerator_that_is_not_there(name, start, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(
        ValueError, match=f"train.accelerator = {name} but this machine has none; use auto or cpu"
    ):
        start({}, name)
    assert start({}, "auto").device == torch.device("cpu")


@pytest.mark.parametrize(
    ("there", "precision", "expected"),
    [
        ((False, False), "auto", ("cpu", "32-true")),
        ((False, True), "auto", ("mps", "32-true")),
        ((True, True), "auto", ("cuda", "bf16-mixed")),
        ((True, False), "32-true", ("cuda", "32-true")),
    ],
)
def test_auto_takes_the_fastest_there_is(start, monkeypatch, there, precision, expected):
    asked = {}

    def record(**settings):
        asked.update(settings)
        return Fabric(accelerator="cpu", devices=1)

    monkeypatch.setattr(devices, "Fabric", record)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there[0])
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: there[1])
    start({}, "auto", precision)
    assert (asked["accelerator"], asked["precision"]) == expected


@pytest.mark.parametrize(
    ("has_bf16", "model", "asked", "expected"),
    [
        (True, "resnet18", "auto", "bf16-mixed"),
        (True, "swin_tiny", "auto", "bf16-mixed"),
        (True, "pixel_set", "auto", "32-true"),  # which gains nothing
        (True, "mcldnn", "auto", "32-true"),
        (True, "resnet18", "32-true", "32-true"),
        (False, "resnet18", "auto", "32-true"),
        (False, "resnet18", "bf16-mixed", "bf16-mixed"),
    ],
)
def test_auto_takes_bf16_on_a_cpu_where_processor_and_model_gain(
    start, monkeypatch, has_bf16, model, asked, expected
):
    capabilities = {"avx512_bf16": has_bf16, "amx_bf16": False}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    fabric = start({}, "cpu", asked, model)
    assert fabric.strategy.precision.precision == expected
    assert devices.describe(fabric)["precision"] == expected


def test_16_bits_on_a_cpu_are_refused_with_what_there_is(start):
    message = "train.precision = 16-mixed needs a GPU.* auto, 32-true or bf16-mixed"
    with pytest.raises(ValueError, match=message):
        start({}, "cpu", "16-mixed")
