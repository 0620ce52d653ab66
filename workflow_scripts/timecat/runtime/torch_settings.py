"""How every stage sets torch up: thread count, no TF32, and a start without the compiler where none is used."""

import ctypes

import torch

from workflow_scripts.timecat.errors import UserError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)


def configure(threads: int, device: str = "cpu", compiles: bool = False) -> None:
    """Set torch up for a stage. UserError if ``device`` is "cuda" and torch cannot use the GPU that was leased.

    threads: of its arithmetic; float sums differ between counts, so it is a config key. compiles: the stage will call
    torch.compile, whose parts then stay as torch has them.
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
    """What sidecars say of a torch device, or of several together: "cpu", or the GPU's name."""
    name = torch.cuda.get_device_name() if device == "cuda" else device
    return name if number == 1 else f"{number} x {name}"


def _keep_memory() -> None:
    """Let the allocator keep what is freed: by default every large tensor is new memory from the kernel, page by page.

    That is a fifth of a small network's training time on a CPU. Elsewhere than in glibc nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 2**30)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def _skip_dynamo() -> None:
    """Spare the import of torch._dynamo (two seconds, at the first optimizer) in processes that compile nothing.

    torch wraps some optimizer methods so that its compiler leaves them alone, and importing the compiler is what the
    wrapper costs. It caches the function to call in an attribute; the function itself is right where nothing compiles.
    Where torch has changed this, nothing happens here and the stage only starts more slowly.
    """
    for name in ("add_param_group", "zero_grad", "load_state_dict", "state_dict"):
        wrapped = getattr(getattr(torch.optim.Optimizer, name), "__wrapped__", None)
        if wrapped is not None and not hasattr(wrapped, "__dynamo_disable"):
            setattr(wrapped, "__dynamo_disable", wrapped)
