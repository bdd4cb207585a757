"""Modules of torch as operations: name -> width -> a module of two values."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrizations

Make = Callable[[int], nn.Module]


class Called(nn.Module):
    """A module, and how it is called with two values [N, width] to give such a value."""

    def __init__(self, inner: nn.Module, call: Callable[[Any, Tensor, Tensor], Tensor]):
        super().__init__()
        self.inner, self.call = inner, call

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.call(self.inner, a, b)


def _rows(m: Any, a: Tensor, b: Tensor) -> Tensor:
    """On [N, width]."""
    return m(a)


def _sequence(m: Any, a: Tensor, b: Tensor) -> Tensor:
    """On one sequence of N steps, [1, N, width]."""
    return m(a[None])[0]


def _channels(m: Any, a: Tensor, b: Tensor) -> Tensor:
    """On [1, width, N]."""
    return m(a.t()[None])[0].t()


def _image(m: Any, a: Tensor, b: Tensor) -> Tensor:
    """On [N, 2, 2, width/4]."""
    return m(a.reshape(len(a), 2, 2, -1)).reshape(a.shape)


def _volume(m: Any, a: Tensor, b: Tensor) -> Tensor:
    """On [N, 2, 1, 2, width/4]."""
    return m(a.reshape(len(a), 2, 1, 2, -1)).reshape(a.shape)


def _signal(m: Any, a: Tensor, b: Tensor) -> Tensor:
    """On [N, 1, width]."""
    return m(a[:, None])[:, 0]


def _recurrent(m: Any, a: Tensor, b: Tensor) -> Tensor:
    return m(a[None])[0][0]


def _cell(m: Any, a: Tensor, b: Tensor) -> Tensor:
    return m(a, m(b, a))


def _memory_cell(m: Any, a: Tensor, b: Tensor) -> Tensor:
    h, c = m(a, (b, a))
    return m(b, (h, c))[0]


def _both_states(m: Any, a: Tensor, b: Tensor) -> Tensor:
    h, c = m(a)
    return h + c


def _states(m: Any, a: Tensor, b: Tensor) -> Tensor:
    """A recurrent module's output and last states."""
    y, states = m(a[None], None)
    last = states[1] if isinstance(states, tuple) else states
    return y[0] + last[0]


def _attention(m: Any, a: Tensor, b: Tensor) -> Tensor:
    return m(a[None], b[None], a[None])[0][0]


def _attention_alone(m: Any, a: Tensor, b: Tensor) -> Tensor:
    return m(a[None], b[None], b[None], need_weights=False)[0][0]


def _attention_weights(m: Any, a: Tensor, b: Tensor) -> Tensor:
    return m(a[None], b[None], a[None])[1][0] @ a


def _decoder(m: Any, a: Tensor, b: Tensor) -> Tensor:
    return m(a[None], b[None])[0]


def _two(m: Any, a: Tensor, b: Tensor) -> Tensor:
    return m(a, b)


def _column(m: Any, a: Tensor, b: Tensor) -> Tensor:
    return a + m(a, b)[:, None]


def _picked(m: Any, a: Tensor, b: Tensor) -> Tensor:
    return a + m(b.argmax(1))


def _bagged(m: Any, a: Tensor, b: Tensor) -> Tensor:
    return a + m(b.argsort(1))


def _scaled(m: Any, a: Tensor, b: Tensor) -> Tensor:
    return m(a[:, None]).mean(2)


def _pooled(m: Any, a: Tensor, b: Tensor) -> Tensor:
    return a + m(a[:, None])[:, 0, :1]


def _unpooled(m: Any, a: Tensor, b: Tensor) -> Tensor:
    values, places = m[0](a[:, None])
    return m[1](values, places)[:, 0] + b


def _widened(m: Any, a: Tensor, b: Tensor) -> Tensor:
    return m(a).repeat(1, 2)


def _on(call: Callable[[Any, Tensor, Tensor], Tensor], make: Make) -> Make:
    return lambda width: Called(make(width), call)


def _orthogonal(n: int) -> nn.Module:
    return parametrizations.orthogonal(nn.Linear(n, n))


_ACTIVATIONS: tuple[Callable[[], nn.Module], ...] = (
    nn.CELU,
    nn.ELU,
    nn.GELU,
    nn.Hardshrink,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Hardtanh,
    nn.LeakyReLU,
    nn.LogSigmoid,
    nn.Mish,
    nn.PReLU,
    nn.RReLU,
    nn.ReLU,
    nn.ReLU6,
    nn.SELU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Softplus,
    nn.Softshrink,
    nn.Softsign,
    nn.Tanh,
    nn.Tanhshrink,
    nn.Identity,
    nn.Dropout,
    nn.AlphaDropout,
)
_CALLS: dict[Callable[[Any, Tensor, Tensor], Tensor], dict[str, Make]] = {
    _rows: {
        "BatchNorm1d": nn.BatchNorm1d,
        "BatchNorm1d_bare": lambda n: nn.BatchNorm1d(n, affine=False),
        "BatchNorm1d_mean": lambda n: nn.BatchNorm1d(n, momentum=None),
        "BatchNorm1d_untracked": lambda n: nn.BatchNorm1d(n, track_running_stats=False),
        "GroupNorm": lambda n: nn.GroupNorm(2, n),
        "LayerNorm": nn.LayerNorm,
        "LayerNorm_bare": lambda n: nn.LayerNorm(n, elementwise_affine=False),
        "Linear": lambda n: nn.Linear(n, n),
        "Linear_bare": lambda n: nn.Linear(n, n, bias=False),
        "LogSoftmax": lambda n: nn.LogSoftmax(1),
        "PReLU_each": nn.PReLU,
        "RMSNorm": nn.RMSNorm,
        "Sequential": lambda n: nn.Sequential(nn.Linear(n, n), nn.BatchNorm1d(n), nn.ReLU(True)),
        "Softmax": lambda n: nn.Softmax(1),
        "bottleneck": lambda n: nn.Sequential(nn.Linear(n, 2), nn.Tanh(), nn.Linear(2, n)),
        "orthogonal": _orthogonal,
        "spectral_norm": lambda n: parametrizations.spectral_norm(nn.Linear(n, n)),
        "weight_norm": lambda n: parametrizations.weight_norm(nn.Linear(n, n)),
        "wide": lambda n: nn.Sequential(nn.Linear(n, 3 * n), nn.GELU(), nn.Linear(3 * n, n)),
    },
    _widened: {"Linear_half": lambda n: nn.Linear(n, n // 2)},
    _sequence: {
        "TransformerEncoderLayer": lambda n: nn.TransformerEncoderLayer(
            n, 2, 2 * n, batch_first=True
        ),
        "TransformerEncoderLayer_before": lambda n: nn.TransformerEncoderLayer(
            n, 2, n, batch_first=True, norm_first=True
        ),
    },
    _channels: {
        "Conv1d": lambda n: nn.Conv1d(n, n, 3, padding=1),
        "Conv1d_circular": lambda n: nn.Conv1d(n, n, 3, padding=1, padding_mode="circular"),
        "Conv1d_dilated": lambda n: nn.Conv1d(n, n, 3, padding=2, dilation=2),
        "Conv1d_grouped": lambda n: nn.Conv1d(n, n, 3, padding=1, groups=2),
        "ConvTranspose1d": lambda n: nn.ConvTranspose1d(n, n, 3, padding=1),
        "InstanceNorm1d": lambda n: nn.InstanceNorm1d(n, affine=True),
        "AvgPool1d": lambda n: nn.AvgPool1d(3, 1, 1),
        "MaxPool1d": lambda n: nn.MaxPool1d(3, 1, 1),
        "Dropout1d": lambda n: nn.Dropout1d(0.3),
    },
    _image: {
        "AvgPool2d": lambda n: nn.AvgPool2d(3, 1, 1),
        "BatchNorm2d": lambda n: nn.BatchNorm2d(2),
        "Conv2d": lambda n: nn.Conv2d(2, 2, 3, padding=1),
        "Conv2d_same": lambda n: nn.Conv2d(2, 2, 3, padding="same", padding_mode="replicate"),
        "ConvTranspose2d": lambda n: nn.ConvTranspose2d(2, 2, 1),
        "Dropout2d": lambda n: nn.Dropout2d(0.3),
        "InstanceNorm2d": lambda n: nn.InstanceNorm2d(2),
        "LocalResponseNorm": lambda n: nn.LocalResponseNorm(2),
        "MaxPool2d": lambda n: nn.MaxPool2d(3, 1, 1),
        "Softmax2d": lambda n: nn.Softmax2d(),
    },
    _volume: {
        "Conv3d": lambda n: nn.Conv3d(2, 2, 3, padding=1),
        "MaxPool3d": lambda n: nn.MaxPool3d(3, 1, 1),
    },
    _signal: {
        "Conv1d_signal": lambda n: nn.Conv1d(1, 1, 5, padding=2),
        "LPPool1d": lambda n: nn.Sequential(nn.ConstantPad1d((1, 0), 0.1), nn.LPPool1d(2, 2, 1)),
        "ReflectionPad1d": lambda n: nn.Sequential(nn.ReflectionPad1d(1), nn.AvgPool1d(3, 1)),
    },
    _scaled: {"channels": lambda n: nn.Sequential(nn.Conv1d(1, n, n), nn.Tanh())},
    _pooled: {
        "AdaptiveAvgPool1d": lambda n: nn.AdaptiveAvgPool1d(1),
        "AdaptiveMaxPool1d": lambda n: nn.AdaptiveMaxPool1d(2),
        "Upsample": lambda n: nn.Upsample(scale_factor=2, mode="linear"),
    },
    _unpooled: {
        "MaxUnpool1d": lambda n: nn.ModuleList(
            [nn.MaxPool1d(2, return_indices=True), nn.MaxUnpool1d(2)]
        )
    },
    _recurrent: {
        "GRU": lambda n: nn.GRU(n, n, batch_first=True),
        "LSTM": lambda n: nn.LSTM(n, n, batch_first=True),
        "RNN": lambda n: nn.RNN(n, n, batch_first=True, nonlinearity="relu"),
        "LSTM_deep": lambda n: nn.LSTM(n, n, 2, batch_first=True, dropout=0.1),
        "GRU_both_ways": lambda n: nn.GRU(n, n // 2, batch_first=True, bidirectional=True),
        "LSTM_projected": lambda n: nn.LSTM(n, 2 * n, batch_first=True, proj_size=n),
    },
    _states: {
        "GRU_states": lambda n: nn.GRU(n, n, batch_first=True),
        "LSTM_states": lambda n: nn.LSTM(n, n, batch_first=True),
    },
    _cell: {
        "GRUCell": lambda n: nn.GRUCell(n, n),
        "RNNCell": lambda n: nn.RNNCell(n, n),
    },
    _memory_cell: {"LSTMCell": lambda n: nn.LSTMCell(n, n)},
    _both_states: {"LSTMCell_states": lambda n: nn.LSTMCell(n, n)},
    _attention: {"MultiheadAttention": lambda n: nn.MultiheadAttention(n, 2, batch_first=True)},
    _attention_alone: {
        "MultiheadAttention_alone": lambda n: nn.MultiheadAttention(n, 1, batch_first=True)
    },
    _attention_weights: {
        "MultiheadAttention_weights": lambda n: nn.MultiheadAttention(n, 2, batch_first=True)
    },
    _decoder: {
        "TransformerDecoderLayer": lambda n: nn.TransformerDecoderLayer(n, 2, n, batch_first=True)
    },
    _two: {"Bilinear": lambda n: nn.Bilinear(n, n, n)},
    _column: {
        "CosineSimilarity": lambda n: nn.CosineSimilarity(),
        "PairwiseDistance": lambda n: nn.PairwiseDistance(),
    },
    _picked: {"Embedding": lambda n: nn.Embedding(n, n)},
    _bagged: {"EmbeddingBag": lambda n: nn.EmbeddingBag(n, n, mode="mean")},
}
LAYERS: dict[str, Make] = {
    **{make.__name__: _on(_rows, lambda n, m=make: m()) for make in _ACTIVATIONS},  # type: ignore[attr-defined]
    **{name: _on(call, make) for call, rows in _CALLS.items() for name, make in rows.items()},
}
