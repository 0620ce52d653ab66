"""Slow reference for the counterexample's networks and probe: one torch module at a time, autograd and torch.optim.SGD.

The vectorised implementation must equal it in float64 to rtol 1e-9. The rows of a mixture pass through one by one, as
images would, instead of being counted.
"""

import torch
from torch import nn
from torch.nn import functional as F

from workflow_scripts.timecat.counterexample.exact import IS_POSITIVE, POINTS

INPUTS = torch.tensor(POINTS, dtype=torch.float64)
LABELS = torch.tensor(IS_POSITIVE, dtype=torch.float64)


class Gates(nn.Module):
    """Hidden layer of gates: h_j = u_j x_j."""

    def __init__(self, u):
        super().__init__()
        self.u = nn.Parameter(u)

    def forward(self, x):
        """Return the features [B, 2] of inputs [B, 2]."""
        return self.u * x


class Network(nn.Module):
    """Network f(x) = w . h(x) + b with one of the kinds of hidden layer, initialised as in networks.Networks."""

    def __init__(self, kind: str, U, w):
        super().__init__()
        U, w = torch.as_tensor(U, dtype=torch.float64), torch.as_tensor(w, dtype=torch.float64)
        H = len(w)
        if kind == "gates":
            self.hidden = Gates(U.diagonal().clone())
        else:
            linear = _linear(U, bias=kind == "relu")
            self.hidden = nn.Sequential(linear, nn.ReLU()) if kind == "relu" else linear
        self.output = _linear(w.view(1, H), bias=True)

    def forward(self, x):
        """Return the outputs [B] of inputs [B, 2]: positive for the positive class."""
        return self.output(self.hidden(x)).squeeze(1)


def _linear(weight, bias: bool) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias:
            layer.bias.zero_()
    return layer


def train_reference(model: nn.Module, batches, lr: float, weight_decay: float = 0.0, inputs=INPUTS) -> None:
    """Take one step of SGD for each batch.

    batches: indices of points, [steps, batch_size]. inputs: the model's inputs at the four points.
    """
    of = {True: [], False: []}
    for name, parameter in model.named_parameters():
        of[name.endswith("bias")].append(parameter)
    groups = [{"params": of[False], "weight_decay": weight_decay}, {"params": of[True]}]
    optimizer = torch.optim.SGD(groups, lr=lr)
    for points in torch.as_tensor(batches):
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(model(inputs[points]), LABELS[points]).backward()
        optimizer.step()


class Probe(nn.Module):
    """Linear probe whose weights and bias are initially zero."""

    def __init__(self, features: int):
        super().__init__()
        self.linear = _linear(torch.zeros(1, features), bias=True)

    def forward(self, h):
        """Return the outputs [B] of features [B, H]."""
        return self.linear(h).squeeze(1)


@torch.no_grad()
def probed_features_reference(features, threshold: float):
    """Return features [4, H] at the four points as the network's probe sees them: centred, and scaled as in `kept`."""
    centred = features - features.mean(0)
    of_inputs = torch.linalg.svdvals(INPUTS)[0]
    return centred * of_inputs / max(torch.linalg.svdvals(centred)[0], threshold * of_inputs)
