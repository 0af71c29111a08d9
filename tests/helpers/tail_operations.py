"""
Operations that networks have behind a layer, for tests that draw them.

Each is Python code that returns a tensor with the examples in dimension 0. ``t`` is a tensor
(N, C, H, W), ``m`` the module with its state, ``k`` an earlier ``t`` that the module has kept.
``w(*shape)`` is a weight, and ``also(_, t)`` evaluates both and returns the second.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

POINTWISE = """
t.relu()
t.abs()
t.neg()
t.tanh()
t.sigmoid()
t.exp().clamp(max=9)
t.abs().add(1).log()
t.square()
t.abs().add(1).sqrt()
t.abs().add(1).rsqrt()
t.sin()
t.atan()
t.erf()
t.clamp(-1, 1)
t.clamp(min=torch.zeros_like(t))
t * 2 + 1
1 / (1 + t.abs())
2**t.clamp(-3, 3)
t.pow(3).clamp(-9, 9)
t - t.detach() / 2
F.gelu(t)
F.silu(t)
F.mish(t)
F.elu(t)
F.selu(t)
F.celu(t)
F.softplus(t)
F.hardswish(t)
F.hardsigmoid(t)
F.hardtanh(t)
F.relu6(t)
F.leaky_relu(t, 0.1)
F.logsigmoid(t)
F.tanhshrink(t)
F.softsign(t)
F.threshold(t, 0.1, 0.0)
F.prelu(t, w(1))
torch.where(t > 0.1, t, t / 3)
torch.lerp(t, t * t, 0.3)
torch.addcmul(t, t, t, value=0.1)
torch.addcdiv(t, t, 1 + t.abs())
torch.logaddexp(t, t / 2)
torch.maximum(t, -t / 2)
torch.minimum(t, t / 2)
torch.hypot(t, t + 1)
torch.atan2(t, 1 + t.abs())
torch.nan_to_num(t)
(t > 0.1).to(t)
t.float().double()
t.masked_fill(t > 1, 1.0)
t.sgn() * t
torch.xlogy(t, 1 + t.abs())
"""

SHAPES = """
t.flatten(1)
t.flatten(2)
t.transpose(1, 2)
t.permute(0, 2, 3, 1)
t.permute(0, 3, 1, 2).contiguous()
t.movedim(1, -1)
t.reshape(len(t), -1, 1, 1)
t.view(len(t), -1, t.shape[-1]) if t.is_contiguous() else t
t.unsqueeze(1).squeeze(1)
t.unflatten(1, (1, -1)).flatten(1, 2)
t[:, :1]
t[:, -1:]
t[:, ::2]
t[..., 0]
t[:, 0]
t[:, [0, -1]]
t[:, None, ..., :1].flatten(1, 2)
t.narrow(1, 0, 1)
t.select(3, 0)
t.flip(1)
t.roll(1, 2)
t.rot90(1, (2, 3))
t.tile(1, 2, 1, 1)
t.repeat_interleave(2, dim=1)
t.expand(-1, -1, -1, -1)
t[:, :1].expand(-1, 3, -1, -1)
t.unfold(2, 1, 1).flatten(3)
t.diagonal(dim1=2, dim2=3)
t.tril()
torch.cat([t, t * 2], 1)
torch.cat([t, torch.ones_like(t)], 2)
torch.stack([t, -t], 1).flatten(1, 2)
torch.stack(t.unbind(1), 1)
torch.cat(t.chunk(2, 1)[::-1], 1)
t.split(1, 1)[0]
t.index_select(1, torch.tensor([0, 0]))
t.gather(1, torch.zeros_like(t[:, :1], dtype=torch.long))
t.take_along_dim(torch.zeros_like(t, dtype=torch.long), 1)
F.pad(t, (1, 0, 0, 1))
F.pad(t, (1, 1, 1, 1), mode="replicate")
F.unfold(t, 1)
F.pixel_shuffle(t.repeat_interleave(4, 1), 2)
F.pixel_unshuffle(t.repeat_interleave(2, 2).repeat_interleave(2, 3), 2)
F.channel_shuffle(t.repeat_interleave(2, 1), 2)
"""

REDUCTIONS = """
t.mean((2, 3))
t.sum(1)
t.amax((2, 3), keepdim=True)
t.amin(1, keepdim=True)
t.max(1).values
t.std(1, correction=0)
t.var((1, 2, 3), correction=0, keepdim=True)
t.norm(dim=1)
torch.linalg.vector_norm(t, dim=(2, 3))
t.logsumexp(1)
t.prod(3).clamp(-9, 9)
t.cumsum(1)
t.cumsum(2).flip(2)
t.logcumsumexp(1)
t.cummax(1).values
t.sort(1).values
t.topk(1, 1).values
t.kthvalue(1, 1).values
t.median(1).values
t.quantile(0.5, dim=1)
t.diff(dim=1, prepend=t[:, :1])
t - t.mean(0, keepdim=True)
t.count_nonzero((2, 3)).to(t)
t.softmax(1)
t.log_softmax(1)
F.softmin(t, 2)
F.normalize(t, dim=1)
F.glu(torch.cat([t, t], 1), 1)
"""

LAYERS = """
F.conv2d(t, w(3, t.shape[1], 1, 1))
F.conv2d(t, w(3, t.shape[1], 3, 3), padding=1)
F.conv2d(t, w(t.shape[1], 1, 3, 3), w(t.shape[1]), padding=1, groups=t.shape[1])
F.conv_transpose2d(t, w(t.shape[1], 2, 2, 2), stride=2)
F.conv1d(t.flatten(2), w(3, t.shape[1], 1))
F.conv3d(t[:, None], w(2, 1, 1, 1, 1)).flatten(1, 2)
F.linear(t.flatten(1), w(5, t[0].numel()), w(5))
F.bilinear(t.flatten(2).mean(2), t.flatten(2).amax(2), w(3, t.shape[1], t.shape[1]))
F.avg_pool2d(t, 2, ceil_mode=True)
F.max_pool2d(t, 2, ceil_mode=True)
F.lp_pool2d(t.abs() + 1, 2, 1)
F.adaptive_avg_pool2d(t, 1)
F.adaptive_avg_pool2d(t, (2, 3))
F.adaptive_max_pool2d(t, 2)
F.batch_norm(t, w(t.shape[1]), 1 + w(t.shape[1]).square())
F.instance_norm(torch.cat([t, -t + 1], 3))
F.group_norm(t, 1)
F.layer_norm(t, t.shape[1:])
F.rms_norm(t, t.shape[3:])
F.local_response_norm(t, 3)
F.interpolate(t, scale_factor=2)
F.interpolate(t, size=(3, 2), mode="bilinear")
F.interpolate(t, size=(2, 3), mode="bicubic", align_corners=True)
F.grid_sample(t, w(len(t), 2, 2, 2), align_corners=False)
F.dropout(t, 0.5, training=False)
F.scaled_dot_product_attention(t, t, t)
F.cosine_similarity(t, t.flip(1) + 1, dim=1)
F.embedding((t.flatten(2).mean(2) > 0).long(), w(2, 3))
F.one_hot((t.flatten(2).mean(2) > 0).long(), 2).to(t)
m.attention(*[t.flatten(2).mT @ w(t.shape[1], 4)] * 3, need_weights=False)[0]
m.norm(t.flatten(2).mT @ w(t.shape[1], 4))
m.transformer(t.flatten(2).mT @ w(t.shape[1], 4))
"""

ALGEBRA = """
t @ t.mT
torch.matmul(t, w(t.shape[-1], 3))
torch.bmm(t.flatten(2), t.flatten(2).mT)
torch.baddbmm(w(1, 1), t.flatten(2), t.flatten(2).mT)
torch.einsum("nchw,ncij->nhwij", t, t).flatten(3)
torch.einsum("nchw,dc->ndhw", t, w(3, t.shape[1]))
torch.tensordot(t, w(t.shape[3], 2), ([3], [0]))
torch.cdist(t.flatten(2), w(2, t[0, 0].numel())[None] + 3)
torch.fft.fft2(t).real
torch.fft.rfft(t).abs()
torch.linalg.inv(t.flatten(2) @ t.flatten(2).mT + 9 * torch.eye(t.shape[1], dtype=t.dtype))
torch.linalg.det(t.flatten(2) @ t.flatten(2).mT / 9 + torch.eye(t.shape[1], dtype=t.dtype))[:, None]
torch.outer(t.mean((1, 2, 3)), w(3))
torch.addmm(w(3), t.flatten(1), w(t[0].numel(), 3))
torch.special.expit(t)
torch.view_as_real(torch.complex(t, t * 2)).flatten(3)
"""

# What the model writes shows in all tensors that share memory with it.
IN_PLACE = """
t.add_(1)
t.mul_(0.5)
t.relu_()
t.clamp_(-1, 1)
t.tanh_()
t.neg_()
t.sub_(t.mean())
t.div_(1 + t.abs().amax())
t.masked_fill_(t < 0, 0.1)
t.fill_(0.3)
t.zero_()
t.addcmul_(t, t, value=0.1)
t.lerp_(t * 0 + 1, 0.2)
t.copy_(t * 2)
t.cumsum_(1)
t.exp_().clamp_(max=9)
F.relu(t, inplace=True)
F.hardtanh(t, inplace=True)
F.silu(t, inplace=True)
F.leaky_relu(t, 0.1, inplace=True)
F.dropout(t, 0.5, training=False, inplace=True)
also(t[:, :1].add_(1), t)
also(t[:, 0].mul_(2), t)
also(t[..., -1].zero_(), t)
also(t.flatten(2).add_(1), t)
also(t.transpose(1, 2).mul_(0.5), t)
also(t.__setitem__((slice(None), 0), 0.5), t)
also(t.__setitem__((slice(None), slice(0, 1)), t[:, -1:] * 2), t)
also(t.unbind(1)[0].sub_(1), t)
also(t.chunk(2, 1)[0].mul_(3), t)
also(t.diagonal(dim1=2, dim2=3).add_(1), t)
t.index_fill_(1, torch.tensor([0]), 0.2)
t.index_add_(1, torch.tensor([0]), t[:, -1:].clone())
t.scatter_(1, torch.zeros_like(t[:, :1], dtype=torch.long), 0.4)
torch.zeros_like(t).add_(t)
torch.ones_like(t).mul_(t)
t.clone().add_(t)
t.new_zeros(t.shape).copy_(t)
t.squeeze_(1).unsqueeze_(1)
"""

# What an earlier tensor shares with a later one.
KEPT = """
also(m.keep(t), t)
also(m.keep(t[:, :1]), t)
also(m.keep(t.flatten(2)), t)
also(m.keep(t.clone()), t)
also(m.keep(t.detach()), t)
t + k.mean()
t * k.flatten(1).mean(1)[:, None, None, None]
torch.cat([t, k.flatten(1).mean(1)[:, None, None, None].expand_as(t[:, :1])], 1)
t.add_(k.mean())
also(k.add_(1), t)
also(k.mul_(0.5), t)
also(k.zero_(), t)
also(k[:, 0].sub_(1), t)
"""

# Results that the model keeps on itself. A later call uses what an earlier one has stored.
STATE = """
also(m.buffer.add_(1), t * m.buffer.mean())
also(setattr(m, "previous", t.mean()), t)
also(setattr(m, "previous", m.previous + 1), t * m.previous)
t - m.previous
also(m.history.append(t.mean()), t + len(m.history))
t + sum(m.history)
also(m.queue.append(t.mean()), t + m.queue[0])
also(m.by_name.update(mean=t.mean()), t)
t + m.by_name.get("mean", 1.0)
also(m.nested["lists"][0].append(t.mean()), t + len(m.nested["lists"][0]))
also(setattr(m.space, "mean", t.mean()), t + m.space.mean)
also(m.by_default["x"].append(t.mean()), t + len(m.by_default["x"]))
also(setattr(m, "count", m.count + 1), t * m.count)
"""

# What torch.func.vmap cannot run: the model runs once for each ablation.
AWKWARD = """
t * 2 if t.mean() > 0.1 else t
t * float(t.mean())
t + t.sum().item()
torch.from_numpy(t.detach().numpy().copy())
t + int((t > 0.1).sum())
t * len(torch.nonzero(t > 0.1))
m.gru(t.flatten(2).mT @ w(t.shape[1], 4))[0]
m.lstm(t.flatten(2).mT @ w(t.shape[1], 4))[0]
also(torch.zeros_like(w(2, 1)).add_(t.mean()), t)
t + w(1).add_(t.mean())
m.function(t)
t * sum(t.mean().tolist() for _ in range(2))
t.index_put((torch.arange(len(t)), torch.zeros(len(t), dtype=torch.long)), t[:, -1])
torch.unique(t).mean() + t
also(t.__setitem__(t > 1, 1.0), t)
torch.add(t, 1, out=torch.empty_like(t))
also(m.buffer.lerp_(t.mean(), 0.1), t - m.buffer.mean())
also(t.data.mul_(2), t)
also(t.numpy().__imul__(2), t)
"""

# The same numbers are drawn in each pass.
NOISE = """
F.dropout(t, 0.5, training=True)
t + torch.rand(3).mean()
t * torch.randn_like(t)
"""


def _lines(*blocks):
    return [line for block in blocks for line in block.strip().splitlines()]


#: Operations that need one pass.
ONE_PASS = _lines(POINTWISE, SHAPES, REDUCTIONS, LAYERS, ALGEBRA, IN_PLACE, KEPT, STATE, NOISE)
OPERATIONS = [*ONE_PASS, *_lines(AWKWARD)]


def w(*shape):
    """A weight that depends on its shape alone."""
    return torch.arange(math.prod(shape), dtype=torch.float64).add(1).cos().view(shape) / 2


def also(_, t):
    """Return the second argument, after the first has been evaluated."""
    return t


class OldFunction(torch.autograd.Function):
    """Without ``setup_context``, as most published ones."""

    @staticmethod
    def forward(ctx, t):
        return t.tanh() * t

    @staticmethod
    def backward(ctx, gradient):
        return gradient


NAMES = {"torch": torch, "F": F, "nn": nn, "w": w, "also": also}


def compiled(operation):
    """The operation as a function of ``t``, ``m`` and ``k``."""
    return eval(f"lambda t, m, k: {operation}", NAMES)  # noqa: S307 - the code is above
