"""All heads of one probe in one tensor: BatchNorm1d + Linear per weight decay, trained together.

The heads of one replicate see the same batches, hence the same normalised features x̂, and share no parameter. Folding
each head's affine into its weights, W'_h = W_h diag(γ_h) and b'_h = b_h + W_h β_h, leaves one matrix product forward,
z = W' x̂ᵀ + b', and one back, G = δ x̂, for all heads. With δ = (softmax(z) - onehot) / B and s_h = Σ_n δ_hn the
gradients of the mean cross entropy follow by hand:

    dW_h = G_h diag(γ_h) + s_h β_hᵀ    db_h = s_h    dγ_h = Σ_c W_h ∘ G_h    dβ_h = W_hᵀ s_h

Heads are the leading dimension of every tensor, [H, C, D] and [H, C, B], and no sum runs across it. So on the CPU, with
one thread, another weight decay changes no bit of the others, and a head that diverges harms none. `heads_reference` is
the same in plain modules and torch.optim.SGD; the tests hold the two equal.
"""

import math

import torch
import torch.nn.functional as F

BN_MOMENTUM = 0.1
BN_EPS = 1e-5
TOP = 5

# MKL computes a product of fewer rows than this by another kernel, which rounds otherwise; see StackedHeads.__init__.
_FEWEST_ROWS = 4
_LINE = 16  # float32 numbers in a cache line


def initial_weight(key: int, classes: int, dim: int, std: float) -> torch.Tensor:
    """W ~ N(0, std²) as float32 [classes, dim] on the CPU: a function of its arguments, of no global generator."""
    generator = torch.Generator().manual_seed(key >> 1)  # a generator takes 63 bits
    return torch.empty(classes, dim).normal_(0.0, std, generator=generator)


class StackedHeads:
    """H heads of one replicate and one fit, one per weight decay, all starting from the same weight.

    weight: initial W, [C, D]; biases and β start at 0, γ at 1. weight_decays: one per head, on W and b only, never on γ
    and β. momentum: of Nesterov SGD. batch_norm: without it a head is a plain Linear. Running statistics are those of
    nn.BatchNorm1d: momentum 0.1, unbiased variance, eps 1e-5.
    """

    def __init__(self, weight, weight_decays, *, momentum=0.9, batch_norm=True, dtype=torch.float32, device="cpu"):
        if not len(weight_decays):
            raise ValueError("a probe needs at least one weight decay")
        C, D = weight.shape
        self.heads, self.classes, self.dim = len(weight_decays), C, D
        self.momentum, self.batch_norm = momentum, batch_norm
        # A lone head of two or three classes gets an idle twin, so that it rounds as it does in a longer grid.
        spare = max(0, math.ceil(_FEWEST_ROWS / C) - self.heads)
        H = self._stacked = self.heads + spare
        like = {"dtype": dtype, "device": device}

        # Parameters, gradients and momenta are three flat vectors (W, b, γ, β of all heads), so that a step of SGD is a
        # handful of calls.
        shapes = [(H, C, D), (H, C)] + ([(H, D), (H, D)] if batch_norm else [])
        length = sum(map(_padded, shapes))
        self._parameters, self._gradients, self._momenta = (torch.zeros(length, **like) for _ in range(3))
        parameters, gradients = _parts(self._parameters, shapes), _parts(self._gradients, shapes)
        self.W, self.b = parameters[:2]
        self._dW, self._db = gradients[:2]
        self.W.copy_(weight)
        if batch_norm:
            self.gamma, self.beta = parameters[2:]
            self._dgamma, self._dbeta = gradients[2:]
            self.gamma.fill_(1.0)
            self.running_mean, self.running_var = torch.zeros(D, **like), torch.ones(D, **like)
            self._product = torch.empty_like(self.W)  # first W', then W ∘ G
            self._gamma_rows, self._beta_rows = self.gamma.unsqueeze(1), self.beta.unsqueeze(1)
        decays = torch.tensor([*weight_decays, *[weight_decays[0]] * spare], **like)
        self._decay_W, self._decay_b = decays.view(H, 1, 1), decays.view(H, 1)
        self._minus_one = torch.full((1, 1, 1), -1.0, **like)

    def train_step(self, features, labels, lr: float):
        """One step of SGD on the mean cross entropy of a batch; returns what its forward pass gave.

        features: [B, D], B > 1 with batch norm; labels: int64 [B]; lr: step size. Returns, per head [H], the summed
        loss (in nats) and how many rows had their label first and among the first five; a tie counts against the label.
        """
        H, C, B = self._stacked, self.classes, len(labels)
        features = features.to(self.W.dtype)
        x_hat = self._normalise(features, training=True)
        log_p = torch.log_softmax(self._logits(x_hat), 1)
        index = labels.view(1, 1, B).expand(H, 1, B)
        log_p_label = log_p.gather(1, index)
        less_likely = torch.lt(log_p, log_p_label, out=torch.empty_like(log_p)).sum(1)  # as numbers: cheaper to sum
        loss = -log_p_label.sum((1, 2))
        top1 = (less_likely >= C - 1).sum(1)
        top5 = (less_likely >= C - TOP).sum(1)

        delta = log_p.exp_().scatter_add_(1, index, self._minus_one.expand(H, 1, B))  # 1/B is applied to its sums below
        self._backward(delta, x_hat)
        self._descend(lr)
        return loss[: self.heads], top1[: self.heads], top5[: self.heads]

    def logits(self, features) -> torch.Tensor:
        """Logits [B, H, C] (a view of [H, C, B]) of features [B, D], normalised by the running statistics."""
        x_hat = self._normalise(features.to(self.W.dtype), training=False)
        return self._logits(x_hat)[: self.heads].permute(2, 0, 1)

    def _normalise(self, features, training: bool):
        """x̂, by the statistics of the batch (and the running ones take note) or by the running ones."""
        if not self.batch_norm:
            return features
        return F.batch_norm(
            features, self.running_mean, self.running_var, training=training, momentum=BN_MOMENTUM, eps=BN_EPS
        )

    def _logits(self, x_hat):
        """z = W' x̂ᵀ + b', [H, C, B]."""
        H, C, D = self.W.shape
        if self.batch_norm:
            W = torch.mul(self.W, self._gamma_rows, out=self._product)
            b = torch.baddbmm(self.b.unsqueeze(1), self._beta_rows, self.W.mT)
        else:
            W, b = self.W, self.b
        return torch.addmm(b.view(H * C, 1), W.view(H * C, D), x_hat.t()).view(H, C, -1)

    def _backward(self, delta, x_hat):
        """Fill the gradients from B δ [H, C, B] and x̂ [B, D]."""
        H, C, B = delta.shape
        s = torch.mean(delta, 2, out=self._db)
        G = self._dW.view(H * C, -1)
        torch.addmm(G, delta.view(H * C, B), x_hat, beta=0, alpha=1 / B, out=G)
        if self.batch_norm:
            torch.sum(torch.mul(self.W, self._dW, out=self._product), 1, out=self._dgamma)
            torch.bmm(s.unsqueeze(1), self.W, out=self._dbeta.unsqueeze(1))
            self._dW.mul_(self._gamma_rows).addcmul_(s.unsqueeze(2), self._beta_rows)

    def _descend(self, lr: float):
        """SGD with Nesterov momentum as torch.optim.SGD does it: v ← m v + g, θ ← θ - lr (g + m v)."""
        self._dW.addcmul_(self.W, self._decay_W)
        self._db.addcmul_(self.b, self._decay_b)
        g, v = self._gradients, self._momenta
        v.mul_(self.momentum).add_(g)
        self._parameters.add_(g.add_(v, alpha=self.momentum), alpha=-lr)


def _parts(flat, shapes) -> list:
    """Views of a flat vector, one after the other, in the given shapes."""
    parts = flat.split([_padded(shape) for shape in shapes])
    return [part[: math.prod(shape)].view(shape) for part, shape in zip(parts, shapes)]


def _padded(shape) -> int:
    """Numbers that a part takes of a flat vector: each begins at a cache line, as MKL may round by where operands lie."""
    return math.ceil(math.prod(shape) / _LINE) * _LINE
