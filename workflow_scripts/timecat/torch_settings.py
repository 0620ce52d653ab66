"""How every stage sets torch up: thread count, no TF32, and a start without the compiler that it does not use."""

import torch


def configure(threads: int) -> None:
    """Set torch up for a stage. threads: of its arithmetic; float sums differ between counts, so it is a config key."""
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    _skip_dynamo()


def device_name(device: str) -> str:
    """What sidecars say of a torch device: "cpu", or the GPU's name."""
    return torch.cuda.get_device_name() if device == "cuda" else device


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
