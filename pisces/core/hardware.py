"""On what a stage computes, in words, and why a GPU is not used."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pisces.core.texts import in_one_line


@contextmanager
def gpu_complaints() -> Iterator[None]:
    """Says in a line why CUDA cannot be used, where the body makes torch warn of it.

    So a driver that is too old is seen, and not only that training is slow. Torch warns once in a
    process, when it first looks for a GPU.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield

    for one in caught:
        message = in_one_line(one.message)
        if "CUDA" not in message and "NVIDIA" not in message:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
            continue

        reason = message.removeprefix("CUDA initialization: ").partition(" (Triggered")[0]
        print(
            f"warning: no GPU is used, although this PyTorch is built for CUDA "
            f"{torch.version.cuda}: {reason}",
            file=sys.stderr,
        )


def in_words(device: torch.device) -> str:
    """Device and threads, such as "cpu with 2 threads": what the last digits of numbers hang on."""
    threads = torch.get_num_threads()
    return f"{device.type} with {threads} thread{'' if threads == 1 else 's'}"
