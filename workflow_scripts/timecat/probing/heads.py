"""Train all heads of one replicate together, stacked in one tensor: BatchNorm1d + Linear per weight decay.

The heads of one replicate see the same batches, and therefore the same normalised features x̂, and share no parameter.
The affine part of each head's batch norm is folded into its weights, W'_h = W_h diag(γ_h) and b'_h = b_h + W_h β_h.
What remains is one matrix product forward, z_h = W'_h x̂ᵀ + b'_h, and one backward, G_h = δ_h x̂. With
δ = (softmax(z) - onehot) / B and s_h = Σ_n δ_hn, the gradients of the mean cross entropy are:

    dW_h = G_h diag(γ_h) + s_h β_hᵀ    db_h = s_h    dγ_h = Σ_c W_h ∘ G_h    dβ_h = W_hᵀ s_h

Heads are the leading dimension of every tensor, [H, C, D] and [H, C, B], and no sum runs across it. On the CPU, with
one thread, the other heads stay the same bit for bit if a weight decay is added or if a head diverges. This holds
whichever kernels a library chooses for which sizes, because the sizes, strides and alignments of every call to MKL do
not depend on H:

- each head has a separate matrix product, and its operands begin at multiples of 64 bytes;
- everything else is computed by torch itself, which treats each row of a tensor alike; the length of the flat vectors
  of the SGD step is a multiple of torch's vector width, so no head falls into the remainder of a vector loop.

On a GPU, where small products would leave most of the device idle, one product serves all heads, and the last bits may
depend on H. tests.references.heads implements the same heads with plain modules and torch.optim.SGD; a test checks that
both give the same results.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

BN_MOMENTUM = 0.1
BN_EPS = 1e-5
TOP = 5

StepSums = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # loss, top-1, top-5: see StackedHeads.train_step

# MKL is slow for products with fewer rows than this, so a head of two or three classes is padded with rows of zeros.
_FEWEST_ROWS = 4
_ALIGNMENT = 32  # in elements: at least a cache line, and the most that an iteration of torch's vector loops takes


def initial_weight(key: int, classes: int, dim: int, std: float) -> torch.Tensor:
    """Return W ~ N(0, std²), float32 [classes, dim] on the CPU: a function of the arguments, without global state."""
    generator = torch.Generator().manual_seed(key >> 1)  # a generator takes 63 bits
    return torch.empty(classes, dim).normal_(0.0, std, generator=generator)


def _one_by_one(device: torch.device | str) -> bool:
    """Return whether each head has a separate matrix product on a device, rather than one product for all heads."""
    return torch.device(device).type == "cpu"


class StackedHeads:
    """H heads of one replicate and one fit, one per weight decay, all starting from the same weight.

    weight: initial W, [C, D]; biases and β start at 0, γ at 1. weight_decays: one per head; they apply to W and b only,
    never to γ and β. momentum: Nesterov momentum of SGD. batch_norm: whether heads have batch norm; without it a head
    is a plain Linear. Running statistics are as in nn.BatchNorm1d: momentum 0.1, unbiased variance, eps 1e-5.
    """

    def __init__(
        self,
        weight: torch.Tensor,
        weight_decays: Sequence[float],
        *,
        momentum: float,
        batch_norm: bool,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        if not len(weight_decays):
            raise ValueError("a probe needs at least one weight decay")
        H, (C, D) = len(weight_decays), weight.shape
        self.heads, self.classes, self.dim = H, C, D
        self.momentum, self.batch_norm = momentum, batch_norm
        like: dict[str, Any] = {"dtype": dtype, "device": device}
        apart = _one_by_one(device)
        self._alignment = _ALIGNMENT if apart else 1
        self._rows = max(C, _FEWEST_ROWS) if apart else C  # rows of a head in its matrix products
        self._together = 1 if apart else H  # number of heads in one product

        # Parameters, gradients and momenta are three flat vectors (W, b, γ, β of all heads), so that a step of SGD
        # takes only a few calls.
        shapes = [(self._rows, D), (self._rows,)] + ([(D,), (D,)] if batch_norm else [])
        length = H * sum(map(self._padded, shapes))
        self._parameters, self._gradients, self._momenta = (torch.zeros(length, **like) for _ in range(3))
        parameters, gradients = self._parts(self._parameters, shapes), self._parts(self._gradients, shapes)
        self.W, self.b = (part[:, :C] for part in parameters[:2])
        self._dW, self._db = (part[:, :C] for part in gradients[:2])
        self.W.copy_(weight)
        factors, offsets = parameters[:2]  # W' and b' of the forward product, padded
        if batch_norm:
            self.gamma, self.beta = parameters[2:]
            self._dgamma, self._dbeta = gradients[2:]
            self.gamma.fill_(1.0)
            self.running_mean, self.running_var = torch.zeros(D, **like), torch.ones(D, **like)
            length = H * sum(map(self._padded, shapes[:2]))
            factors, offsets = self._parts(torch.zeros(length, **like), shapes[:2])
            self._product, folded = factors[:, :C], offsets[:, :C]  # this memory holds first W', then W ∘ G
            self._gamma_rows, self._beta_rows = self.gamma.unsqueeze(1), self.beta.unsqueeze(1)
            # Operands of the products in _logits and _backward besides W' and δ, per head (or for all heads).
            self._affine = self._per_product(self.b.unsqueeze(1), self._beta_rows, self.W.mT, folded.unsqueeze(1))
            self._back = self._per_product(self._db.unsqueeze(1), self.W, self._dbeta.unsqueeze(1))
        self._factors, self._offsets = self._matrices(factors), offsets.unsqueeze(2)
        self._G = self._matrices(gradients[0])
        decays = torch.tensor([*weight_decays], **like)
        self._decay_W, self._decay_b = decays.view(H, 1, 1), decays.view(H, 1)
        self._minus_one = torch.full((1, 1, 1), -1.0, **like)

    def train_step(self, features: torch.Tensor, labels: torch.Tensor, lr: float) -> StepSums:
        """Take one step of SGD on the mean cross entropy of a batch and return the scores of its forward pass.

        features: [B, D], B > 1 with batch norm; labels: int64 [B]; lr: step size. Return, per head [H], the summed loss
        (in nats) and the numbers of rows whose label is ranked first and among the first five; a tie counts against the
        label.
        """
        H, C, B = self.heads, self.classes, len(labels)
        features = features.to(self.W.dtype)
        x_hat = self._normalise(features, training=True)
        z = self._logits(x_hat)  # [H, rows, B]; once log_p is computed, this memory is reused
        log_p = torch.log_softmax(z[:, :C], 1)
        index = labels.view(1, 1, B).expand(H, 1, B)
        log_p_label = log_p.gather(1, index)
        less_likely = torch.lt(log_p, log_p_label, out=z[:, :C]).sum(1)  # as floats, which are faster to sum
        loss = -log_p_label.sum((1, 2))
        top1 = (less_likely >= C - 1).sum(1)
        top5 = (less_likely >= C - TOP).sum(1)

        delta = torch.exp(log_p, out=z[:, :C]).scatter_add_(1, index, self._minus_one.expand(H, 1, B))
        if self._rows > C:
            z[:, C:] = 0
        self._backward(z, delta, x_hat)  # divides its sums by B
        self._descend(lr)
        return loss, top1, top5

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Return the logits, [B, H, C] (a view of [H, C, B]), of features [B, D] in evaluation mode."""
        x_hat = self._normalise(features.to(self.W.dtype), training=False)
        return self._logits(x_hat)[:, : self.classes].permute(2, 0, 1)

    def _normalise(self, features: torch.Tensor, training: bool) -> torch.Tensor:
        """Return x̂, normalised by the batch (which updates the running statistics) or by the running statistics."""
        if not self.batch_norm:
            return features
        return F.batch_norm(
            features, self.running_mean, self.running_var, training=training, momentum=BN_MOMENTUM, eps=BN_EPS
        )

    def _logits(self, x_hat: torch.Tensor) -> torch.Tensor:
        """Return z = W' x̂ᵀ + b', [H, rows, B]: C rows per head, then one for each of its padding rows."""
        shape = (self._rows, len(x_hat))
        (z,) = self._parts(x_hat.new_empty(self.heads * self._padded(shape)), [shape])
        if self.batch_norm:
            torch.mul(self.W, self._gamma_rows, out=self._product)
            for b, beta, W, folded in self._affine:
                torch.baddbmm(b, beta, W, out=folded)
        z.copy_(self._offsets)
        for out, W in zip(self._matrices(z), self._factors):
            torch.addmm(out, W, x_hat.t(), out=out)
        return z

    def _backward(self, padded: torch.Tensor, delta: torch.Tensor, x_hat: torch.Tensor) -> None:
        """Compute the gradients from B δ [H, C, B], which is part of ``padded`` [H, rows, B], and x̂ [B, D]."""
        s = torch.mean(delta, 2, out=self._db)
        for G, part in zip(self._G, self._matrices(padded)):
            torch.addmm(G, part, x_hat, beta=0, alpha=1 / len(x_hat), out=G)
        if self.batch_norm:
            torch.sum(torch.mul(self.W, self._dW, out=self._product), 1, out=self._dgamma)
            for part, W, dbeta in self._back:
                torch.bmm(part, W, out=dbeta)
            self._dW.mul_(self._gamma_rows).addcmul_(s.unsqueeze(2), self._beta_rows)

    def _descend(self, lr: float) -> None:
        """Update the parameters by Nesterov SGD as torch.optim.SGD does: v ← m v + g, θ ← θ - lr (g + m v)."""
        self._dW.addcmul_(self.W, self._decay_W)
        self._db.addcmul_(self.b, self._decay_b)
        g, v = self._gradients, self._momenta
        v.mul_(self.momentum).add_(g)
        self._parameters.add_(g.add_(v, alpha=self.momentum), alpha=-lr)

    def _parts(self, flat: torch.Tensor, shapes: Sequence[tuple[int, ...]]) -> list[torch.Tensor]:
        """Return consecutive views [H, *shape] of a flat vector; each head begins at a multiple of the alignment."""
        parts = flat.split([self.heads * self._padded(shape) for shape in shapes])
        return [
            part.view(self.heads, -1)[:, : math.prod(shape)].unflatten(1, shape) for part, shape in zip(parts, shapes)
        ]

    def _padded(self, shape: tuple[int, ...]) -> int:
        """Return the number of elements that one head's part of this shape takes in a flat vector, with padding."""
        return math.ceil(math.prod(shape) / self._alignment) * self._alignment

    def _matrices(self, part: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return a part [H, rows, n] as the matrices to multiply: [rows, n] per head or, on a GPU, one [H rows, n]."""
        return part.unbind() if self._together == 1 else [part.flatten(0, 1)]

    def _per_product(self, *parts: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
        """Return, for each matrix product, a tuple of its slices of the parts: one head's or, on a GPU, all heads'."""
        return list(zip(*(part.split(self._together) for part in parts)))
