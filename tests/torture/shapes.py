"""Operations that rearrange, multiply or change the type: name -> function of two values."""

import torch
import torch.nn.functional as F
from torch import Tensor

from torture.elementwise import Step


def _filled(a: Tensor, b: Tensor) -> Tensor:
    return torch.block_diag(a, b)[: len(a), : a.shape[1]]


def _square(a: Tensor) -> Tensor:
    """[D, D] of a matrix that has an inverse."""
    return a.t() @ a / (len(a) + 1) + torch.eye(a.shape[1], dtype=a.dtype)


_REARRANGED: dict[str, Step] = {
    "as_strided": lambda a, b: a.contiguous().as_strided(a.shape, (a.shape[1], 1)) + b,
    "block_diag": _filled,
    "broadcast_to": lambda a, b: b.broadcast_to(2, *b.shape)[1] + a,
    "cat": lambda a, b: torch.cat([a, b], 1)[:, ::2],
    "chunk": lambda a, b: torch.cat(a.chunk(2, 1)[::-1], 1),
    "concat_rows": lambda a, b: torch.cat([a, b])[: len(a)],
    "constant_pad": lambda a, b: F.pad(a, (1, 1))[:, 2:],
    "contiguous": lambda a, b: a.t().contiguous().t(),
    "diag_embed": lambda a, b: torch.diag_embed(a).sum(1),
    "diagonal": lambda a, b: a + torch.diagonal(b[:, :, None] * b[:, None], 0, 1, 2),
    "dstack": lambda a, b: torch.dstack([a, b]).mean(2),
    "empty_part": lambda a, b: torch.cat([a[:, :0] * 2, b], 1),
    "expand": lambda a, b: a.expand(3, *a.shape).sum(0),
    "flatten": lambda a, b: a.flatten().unflatten(0, a.shape),
    "flip": lambda a, b: a.flip(1),
    "gather": lambda a, b: a.gather(1, b.argsort(1)),
    "hstack": lambda a, b: torch.hstack([a, b])[:, a.shape[1] // 2 : -(a.shape[1] // 2)],
    "index": lambda a, b: a[:, list(range(a.shape[1]))[::-1]],
    "index_add": lambda a, b: a.index_add(1, torch.tensor([1, 1]), b[:, :2]),
    "index_copy": lambda a, b: a.index_copy(1, torch.tensor([0, 2]), b[:, :2]),
    "index_fill": lambda a, b: a.index_fill(1, torch.tensor([1]), 0.5),
    "index_put": lambda a, b: a.index_put((torch.arange(len(a)),), b * 0.5, accumulate=True),
    "index_select": lambda a, b: a.index_select(1, torch.arange(a.shape[1]).roll(1)),
    "masked_fill": lambda a, b: a.masked_fill(b > 0.5, 0.3),
    "masked_scatter": lambda a, b: a.masked_scatter(a > 0, b),
    "masked_select": lambda a, b: a + 0.1 * b.masked_select(b > 0).sum(),
    "meshgrid": lambda a, b: a + torch.meshgrid(a[:, 0], b[0], indexing="ij")[0] * 0.1,
    "movedim": lambda a, b: a[None].movedim(0, 2)[..., 0],
    "narrow": lambda a, b: torch.cat([a.narrow(1, 0, 2), b.narrow(1, 2, b.shape[1] - 2)], 1),
    "pad_circular": lambda a, b: F.pad(a[None], (1, 0), mode="circular")[0, :, 1:],
    "pad_reflect": lambda a, b: F.pad(a[None], (1, 1), mode="reflect")[0, :, 1:-1],
    "pad_replicate": lambda a, b: F.pad(a[None], (2, 0), mode="replicate")[0, :, :-2],
    "permute": lambda a, b: a[None].permute(2, 0, 1).reshape(a.shape[1], -1).t(),
    "pixel_shuffle": lambda a, b: F.pixel_shuffle(a.reshape(len(a), -1, 1, 1), 2).reshape(a.shape),
    "repeat": lambda a, b: a.repeat(2, 1)[len(a) :],
    "repeat_interleave": lambda a, b: a.repeat_interleave(2, 1)[:, ::2] + b,
    "reshape": lambda a, b: a.reshape(-1).reshape(a.shape),
    "roll": lambda a, b: a.roll(1, 1),
    "rot90": lambda a, b: torch.rot90(a, 2, (0, 1)),
    "scatter": lambda a, b: a.scatter(1, b.argmax(1, keepdim=True), 0.2),
    "scatter_add": lambda a, b: a.scatter_add(1, b.argsort(1) // 2, b),
    "scatter_reduce": lambda a, b: a.scatter_reduce(1, b.argsort(1) // 2, b, "amax"),
    "select": lambda a, b: a + b.select(1, 1)[:, None],
    "split": lambda a, b: torch.cat(a.split([1, a.shape[1] - 1], 1)[::-1], 1),
    "squeeze": lambda a, b: a.unsqueeze(1).squeeze(1) + b[:, None, :][:, 0],
    "stack": lambda a, b: torch.stack([a, b]).mean(0),
    "swapaxes": lambda a, b: a.swapaxes(0, 1).clone().swapaxes(0, 1),
    "take": lambda a, b: a.take(torch.arange(a.numel()).reshape(a.shape)),
    "take_along_dim": lambda a, b: torch.take_along_dim(a, b.argsort(1), 1),
    "tensor_split": lambda a, b: torch.cat(torch.tensor_split(a, 3, 1), 1),
    "tile": lambda a, b: a.tile(1, 2)[:, 1 : a.shape[1] + 1],
    "tril": lambda a, b: a.tril() + b.triu(),
    "unbind": lambda a, b: torch.stack(a.unbind(1)[::-1], 1),
    "unflatten": lambda a, b: a.unflatten(1, (2, -1)).transpose(1, 2).flatten(1),
    "unfold": lambda a, b: a.unfold(1, 2, 1).sum(2).repeat(1, 2)[:, : a.shape[1]],
    "unfold_image": lambda a, b: F.unfold(a.reshape(len(a), 1, 2, -1), 1).flatten(1),
    "view": lambda a, b: a.clone(memory_format=torch.contiguous_format).view(-1).view(a.shape),
    "vstack": lambda a, b: torch.vstack([a, b])[len(a) :],
}
_PRODUCTS: dict[str, Step] = {
    "addmm": lambda a, b: torch.addmm(a, b, _square(a)),
    "attention": lambda a, b: F.scaled_dot_product_attention(
        a[None, None], b[None, None], a[None, None]
    )[0, 0],
    "attention_by_hand": lambda a, b: (a @ b.t() / a.shape[1] ** 0.5).softmax(-1) @ b,
    "attention_causal": lambda a, b: F.scaled_dot_product_attention(
        a[None, None], b[None, None], b[None, None], is_causal=True
    )[0, 0],
    "baddbmm": lambda a, b: torch.baddbmm(a[None], b[None], _square(b)[None])[0],
    "bmm": lambda a, b: torch.bmm(a[None], _square(b)[None])[0],
    "cdist": lambda a, b: a + torch.cdist(a, b + 1).mean(1, keepdim=True) * 0.1,
    "cholesky": lambda a, b: a @ torch.linalg.cholesky(_square(b)),
    "conv1d": lambda a, b: F.conv1d(a[:, None], b[:1, None, :3], padding=1)[:, 0],
    "det": lambda a, b: a * torch.linalg.det(_square(b)).clamp(max=3),
    "eigvalsh": lambda a, b: a + torch.linalg.eigvalsh(_square(b)).sum() * 0.1,
    "einsum": lambda a, b: torch.einsum("bi,bj->bi", a, b) * 0.3,
    "inverse": lambda a, b: a @ torch.linalg.inv(_square(b)),
    "kron": lambda a, b: torch.kron(a, torch.ones(2, 2, dtype=a.dtype))[::2, ::2],
    "linear": lambda a, b: F.linear(a, _square(b), b[:1].sum(0)),
    "matmul": lambda a, b: a @ _square(b),
    "matrix_exp": lambda a, b: a @ torch.matrix_exp(-_square(b)),
    "mv": lambda a, b: a + torch.mv(b, b.sum(0) * 0.1)[:, None],
    "outer": lambda a, b: a + torch.outer(a[:, 0], b.mean(0)),
    "slogdet": lambda a, b: a + torch.slogdet(_square(b)).logabsdet,
    "solve": lambda a, b: torch.linalg.solve(_square(b), a.t()).t(),
    "svdvals": lambda a, b: a + torch.linalg.svdvals(_square(b))[0] * 0.1,
    "tensordot": lambda a, b: torch.tensordot(a, _square(b), dims=1),
    "trace": lambda a, b: a * _square(b).trace() * 0.1,
}
_CAST: dict[str, Step] = {
    "as_bfloat16": lambda a, b: (a.bfloat16() * b.bfloat16()).to(a.dtype),
    "as_complex": lambda a, b: (torch.complex(a, b) * (1 + 1j)).real,
    "as_double": lambda a, b: a.double().sin().to(a.dtype),
    "as_half": lambda a, b: a.half().tanh().to(a.dtype),
    "as_integers": lambda a, b: a + b.long() * 0.1,
    "as_mask": lambda a, b: a * (b > 0),
    "as_numpy": lambda a, b: a + torch.from_numpy(b.detach().numpy().copy()),
    "as_single": lambda a, b: (a.float() @ _square(b.float())).to(a.dtype),
    "bucketize": lambda a, b: a + torch.bucketize(b, torch.tensor([-1.0, 0, 1], dtype=b.dtype)),
    "complex_abs": lambda a, b: torch.view_as_complex(torch.stack([a + 0.1, b], -1)).abs(),
    "conj": lambda a, b: (torch.complex(a, b).conj() * torch.complex(b, a)).imag,
    "fft": lambda a, b: torch.fft.ifft(torch.fft.fft(a)).real,
    "item": lambda a, b: a * (1 + float(b.detach().sum().tanh()) * 0.1),
    "one_hot": lambda a, b: a + F.one_hot(b.argmax(1), a.shape[1]),
    "polar": lambda a, b: torch.polar(a.abs() + 0.1, b).real,
    "rfft": lambda a, b: torch.fft.irfft(torch.fft.rfft(a), n=a.shape[1]),
    "sparse": lambda a, b: torch.sparse.mm(torch.eye(len(a), dtype=a.dtype).to_sparse(), a),
    "view_as_real": lambda a, b: torch.view_as_real(torch.complex(a, b) * 1j)[..., 0],
}
SHAPES: dict[str, Step] = {**_REARRANGED, **_PRODUCTS, **_CAST}
