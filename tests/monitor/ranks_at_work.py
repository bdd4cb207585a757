"""What each of several processes does: train its share of a batch under a monitor, and say what it
saw. Run as `python ranks_at_work.py RANK WORLD PORT WHAT FOLDER`."""

import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

import depthscale as ds
from depthscale._probe import ranks

SAMPLES, WIDTH = 16, 24


def network(norm: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *[
            part
            for _ in range(4)
            for part in (
                nn.Linear(WIDTH, WIDTH),
                nn.LayerNorm(WIDTH) if norm else nn.BatchNorm1d(WIDTH),
                nn.ReLU(),
            )
        ]
    )


def batch() -> Tensor:
    return torch.randn(SAMPLES, WIDTH, generator=torch.Generator().manual_seed(1))


def wrapped(net: nn.Sequential, what: str, world: int) -> nn.Module:
    if what == "ddp":
        return nn.parallel.DistributedDataParallel(net)
    if what == "fsdp2":
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh("cpu", (world,))
        for layer in net:
            if isinstance(layer, nn.Linear):
                fully_shard(layer, mesh=mesh)
        fully_shard(net, mesh=mesh)
    return net


def kept_by_hooks(net: nn.Module, found: dict[str, Tensor]) -> None:
    def keep(name: str):
        def hook(module: nn.Module, args: object, output: Tensor) -> None:
            found[name] = output.detach().clone()
            output.register_hook(lambda g: found.__setitem__(f"{name}'", g.clone()))

        return hook

    for name, layer in net.named_modules():
        if name.rpartition(".")[2].isdigit():
            layer.register_forward_hook(keep(name.removeprefix("module.")))


def work(rank: int, world: int, what: str, folder: Path) -> None:
    net = network(norm=what != "batchnorm")
    if what == "differ" and rank == 1:
        net[5] = nn.Tanh()
    model = wrapped(net, what, world)
    share = batch() if what == "same" else batch().chunk(world)[rank]
    if what == "probe":
        ds.save(ds.probe(model, share), folder / f"{rank}.json")
        return
    tensors: dict[str, Tensor] = {}
    kept_by_hooks(model, tensors)
    monitor = ds.Monitor(model, every=1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    if what == "dies" and rank == 1:
        os._exit(1)
    with monitor.step():
        model(share).square().mean().backward()
        optimizer.step()
    torch.save(tensors, folder / f"{rank}.pt")
    (folder / f"{rank}.txt").write_text("\n".join(monitor.dropped))
    if monitor.steps:
        ds.save(monitor.at(0), folder / f"{rank}.json")


if __name__ == "__main__":
    rank, world, port = map(int, sys.argv[1:4])
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    if sys.argv[4] == "dies":
        ranks.PATIENCE = 3.0
        ranks.over_ranks.__defaults__ = (3.0,)
    dist.init_process_group("gloo", rank=rank, world_size=world)
    work(rank, world, sys.argv[4], Path(sys.argv[5]))
    if sys.argv[4] != "dies":
        dist.barrier()
        dist.destroy_process_group()
    os._exit(0)
