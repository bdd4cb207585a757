"""Operations on every value by itself, and along one axis: name -> function of two values."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Step = Callable[[Tensor, Tensor], Tensor]


def _of_one(function: Callable[[Tensor], Tensor]) -> Step:
    return lambda a, b: function(a)


_ANY: dict[str, Callable[[Tensor], Tensor]] = {  # of any number
    "abs": torch.abs,
    "arctan": torch.atan,
    "asinh": torch.asinh,
    "celu": F.celu,
    "clamp": lambda a: a.clamp(-1, 1),
    "clamp_min": lambda a: a.clamp_min(-0.5),
    "cos": torch.cos,
    "deg2rad": lambda a: torch.deg2rad(a * 50),
    "elu": F.elu,
    "erf": torch.erf,
    "erfc": torch.erfc,
    "exp": torch.exp,
    "exp2": torch.exp2,
    "expm1": torch.expm1,
    "frac": torch.frac,
    "gelu": F.gelu,
    "gelu_tanh": lambda a: F.gelu(a, approximate="tanh"),
    "glu": lambda a: F.glu(torch.cat([a, a], 1)),
    "hardshrink": F.hardshrink,
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "hardtanh": F.hardtanh,
    "i0e": torch.special.i0e,
    "leaky_relu": lambda a: F.leaky_relu(a, 0.1),
    "logsigmoid": F.logsigmoid,
    "mish": F.mish,
    "nan_to_num": torch.nan_to_num,
    "ndtr": torch.special.ndtr,
    "neg": torch.neg,
    "positive": torch.positive,
    "relu": F.relu,
    "relu6": F.relu6,
    "rrelu": lambda a: F.rrelu(a, training=True),
    "selu": F.selu,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "sin": torch.sin,
    "sinc": torch.sinc,
    "sinh": lambda a: torch.sinh(a.clamp(-3, 3)),
    "softplus": F.softplus,
    "softshrink": F.softshrink,
    "softsign": F.softsign,
    "square": torch.square,
    "tanh": torch.tanh,
    "tanhshrink": F.tanhshrink,
    "threshold": lambda a: F.threshold(a, 0.1, 0.2),
}
_POSITIVE: dict[str, Callable[[Tensor], Tensor]] = {  # of positive numbers
    "acosh": lambda p: torch.acosh(p + 1),
    "digamma": torch.digamma,
    "entr": torch.special.entr,
    "float_power": lambda p: torch.float_power(p, 1.5).to(p.dtype),
    "lgamma": torch.lgamma,
    "log": torch.log,
    "log10": torch.log10,
    "log1p": torch.log1p,
    "log2": torch.log2,
    "pow": lambda p: torch.pow(p, 0.7),
    "power_of_two": lambda p: 1.1**p,
    "reciprocal": torch.reciprocal,
    "rsqrt": torch.rsqrt,
    "sqrt": torch.sqrt,
    "xlogy": lambda p: torch.xlogy(p, p),
}
_INSIDE: dict[str, Callable[[Tensor], Tensor]] = {  # of numbers between -1 and 1
    "acos": torch.acos,
    "asin": torch.asin,
    "atanh": torch.atanh,
    "erfinv": torch.erfinv,
    "logit": lambda s: torch.logit(s / 2 + 0.5),
    "tan": torch.tan,
}
_FLAT: dict[str, Callable[[Tensor], Tensor]] = {  # whose gradient is 0
    "ceil": torch.ceil,
    "floor": torch.floor,
    "round": torch.round,
    "sign": torch.sign,
    "trunc": torch.trunc,
}
_TWO: dict[str, Step] = {
    "add": lambda a, b: a + b,
    "add_alpha": lambda a, b: torch.add(a, b, alpha=0.3),
    "addcdiv": lambda a, b: torch.addcdiv(a, b, b.abs() + 1, value=0.5),
    "addcmul": lambda a, b: torch.addcmul(a, a, b, value=0.5),
    "atan2": lambda a, b: torch.atan2(a, b.abs() + 0.5),
    "copysign": torch.copysign,
    "detach": lambda a, b: a.detach() * b,
    "div": lambda a, b: a / (b.abs() + 1),
    "fmax": torch.fmax,
    "fmod": lambda a, b: torch.fmod(a, b.detach().abs() + 0.5),
    "hypot": lambda a, b: torch.hypot(a, b + 0.5),
    "lerp": lambda a, b: torch.lerp(a, b, 0.3),
    "logaddexp": torch.logaddexp,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "mul": lambda a, b: a * b,
    "remainder": lambda a, b: torch.remainder(a, 0.7),
    "rsub": lambda a, b: 1 - b,
    "stop_half": lambda a, b: a + (b - b.detach()),
    "straight_through": lambda a, b: a + (a.round() - a).detach(),
    "sub": lambda a, b: a - b,
    "where": lambda a, b: torch.where(a > 0, a, b),
    "where_hides": lambda a, b: torch.where(b > 0, b, torch.zeros_like(b)) + a,
    "with_noise": lambda a, b: a + 0.1 * torch.randn_like(a),
}
_ALONG: dict[str, Callable[[Tensor], Tensor]] = {  # an axis of at least one value
    "amax": lambda a: a - a.amax(1, keepdim=True),
    "amin": lambda a: a - a.amin(1, keepdim=True),
    "aminmax": lambda a: a + torch.aminmax(a, dim=1, keepdim=True).max,
    "batch_mean": lambda a: a - a.mean(0),
    "cummax": lambda a: torch.cummax(a, 1).values,
    "cummin": lambda a: torch.cummin(a, 1).values,
    "cumprod": lambda a: torch.cumprod(a.tanh() + 1, 1),
    "cumsum": lambda a: a.cumsum(1) * 0.3,
    "diff": lambda a: torch.diff(a, dim=1, prepend=a[:, :1]),
    "dropout": lambda a: F.dropout(a, 0.2),
    "feature_alpha_dropout": lambda a: F.feature_alpha_dropout(a, 0.2, True),
    "alpha_dropout": lambda a: F.alpha_dropout(a, 0.2, True),
    "kthvalue": lambda a: a + a.kthvalue(2, 1, keepdim=True).values,
    "layer_norm": lambda a: F.layer_norm(a, a.shape[1:]),
    "linalg_norm": lambda a: a / (torch.linalg.norm(a, dim=1, keepdim=True) + 0.1),
    "log_softmax": lambda a: F.log_softmax(a, 1),
    "logcumsumexp": lambda a: torch.logcumsumexp(a, 1),
    "logsumexp": lambda a: a - a.logsumexp(1, keepdim=True),
    "max": lambda a: a + a.max(1, keepdim=True)[0],
    "mean": lambda a: a - a.mean(1, keepdim=True),
    "median": lambda a: a - a.median(1, keepdim=True).values,
    "norm": lambda a: a / (a.norm(dim=1, keepdim=True) + 0.1),
    "normalize": lambda a: F.normalize(a, dim=1),
    "prod": lambda a: a * (a.tanh() + 1).prod(1, keepdim=True),
    "quantile": lambda a: a - a.quantile(0.4, 1, keepdim=True),
    "rms_norm": lambda a: F.rms_norm(a, a.shape[1:]),
    "softmax": lambda a: F.softmax(a, 1),
    "softmin": lambda a: F.softmin(a, 1),
    "sort": lambda a: a.sort(1).values,
    "std": lambda a: a / (a.std(1, keepdim=True) + 0.1),
    "sum": lambda a: a + 0.1 * a.sum(1, keepdim=True),
    "topk": lambda a: a - a.topk(2, 1).values.mean(1, keepdim=True),
    "var": lambda a: (a - a.mean(1, True)) / (a.var(1, keepdim=True) + 1e-5).sqrt(),
    "var_mean": lambda a: a + sum(torch.var_mean(a, 1, keepdim=True)),
}
_LOSSES: dict[str, Step] = {  # one number, handed back to every value
    "binary_cross_entropy_with_logits": lambda a, b: F.binary_cross_entropy_with_logits(
        a, b.detach().sigmoid()
    ),
    "cosine_embedding": lambda a, b: F.cosine_embedding_loss(a, b, torch.ones(len(a))),
    "cosine_similarity": lambda a, b: F.cosine_similarity(a, b, dim=1)[:, None],
    "cross_entropy": lambda a, b: F.cross_entropy(a, b.argmax(1)),
    "huber": F.huber_loss,
    "kl_div": lambda a, b: F.kl_div(a.log_softmax(1), b.softmax(1), reduction="batchmean"),
    "mse": F.mse_loss,
    "nll": lambda a, b: F.nll_loss(a.log_softmax(1), b.argmax(1)),
    "pairwise_distance": lambda a, b: F.pairwise_distance(a, b)[:, None],
    "smooth_l1": F.smooth_l1_loss,
}


def _of_loss(loss: Step) -> Step:
    return lambda a, b: a + 0.1 * loss(a, b)


ELEMENTWISE: dict[str, Step] = {
    **{name: _of_one(function) for name, function in _ANY.items()},
    **{
        name: _of_one(lambda a, f=function: f(a.abs() + 0.1))
        for name, function in _POSITIVE.items()
    },
    **{
        name: _of_one(lambda a, f=function: f(a.tanh() * 0.9)) for name, function in _INSIDE.items()
    },
    **{name: _of_one(lambda a, f=function: a + f(a)) for name, function in _FLAT.items()},
    **_TWO,
    **{name: _of_one(function) for name, function in _ALONG.items()},
    **{name: _of_loss(loss) for name, loss in _LOSSES.items()},
}
