"""Configure torch for a stage: set the thread count, disable TF32, and skip the compiler's import if it is unused."""

import ctypes

import torch

from workflow_scripts.timecat.errors import UserError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # parameters of mallopt(3)


def configure(threads: int, device: str = "cpu", compiles: bool = False) -> None:
    """Configure torch for a stage. Raise UserError if ``device`` is "cuda" and torch cannot use the leased GPU.

    threads: number of threads of torch's arithmetic; sums of floats depend on it, so it is a config key. compiles:
    whether the stage will call torch.compile; if not, the import of the compiler is skipped.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError(
            f"a GPU is visible, but torch {torch.__version__} (CUDA {torch.version.cuda}) cannot use it: update the GPU's"
            " driver, or compute on the CPU with --resources gpu=0"
        )
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    _keep_memory()
    if not compiles:
        _skip_dynamo()


def device_name(device: str, number: int = 1) -> str:
    """Return the name of the device in sidecars: "cpu", the GPU's name, or "2 x NAME" for several (``number``)."""
    name = torch.cuda.get_device_name() if device == "cuda" else device
    return name if number == 1 else f"{number} x {name}"


def _keep_memory() -> None:
    """Make the allocator keep freed memory, instead of returning it to the kernel.

    By default the kernel maps new pages for every large tensor, which takes a fifth of a small network's training time
    on a CPU. Without glibc this function does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 2**30)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def _skip_dynamo() -> None:
    """Skip the import of torch._dynamo (two seconds, at the first optimizer) in processes that do not compile.

    torch wraps some optimizer methods to exclude them from compilation, and the wrapper imports the compiler. It caches
    the function to call in an attribute. Without compilation, this may be the wrapped function itself. If torch changes
    these internals, this function has no effect, and the stage only starts more slowly.
    """
    for name in ("add_param_group", "zero_grad", "load_state_dict", "state_dict"):
        wrapped = getattr(getattr(torch.optim.Optimizer, name), "__wrapped__", None)
        if wrapped is not None and not hasattr(wrapped, "__dynamo_disable"):
            setattr(wrapped, "__dynamo_disable", wrapped)
