"""A model's tree of modules, walked once: every module, parameter and buffer by its first path, without the names of wrappers."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256

from torch import Tensor, nn

from depthscale.trace import ModuleNote


@dataclass
class Tree:
    """In the order of named_modules, named_parameters and named_buffers. / structures: of each module by identity."""

    modules: list[tuple[str, nn.Module]] = field(default_factory=list)
    parameters: list[tuple[str, nn.Parameter]] = field(default_factory=list)
    buffers: list[tuple[str, Tensor]] = field(default_factory=list)
    structures: dict[int, str] = field(default_factory=dict)

    @property
    def tensors(self) -> list[tuple[str, Tensor]]:
        return [*self.parameters, *self.buffers]

    def notes(self) -> tuple[ModuleNote, ...]:
        """Every module's class, structure and mode, the model's own left out."""
        return tuple(
            ModuleNote(path, type(module).__name__, self.structures[id(module)], module.training)
            for path, module in self.modules
            if path
        )

    def digest(self) -> str:
        """Twelve hexadecimal digits that models with the same modules and the same parameters' shapes share, whatever their
        values."""
        lines = [f"{path} {type(module).__name__}" for path, module in self.modules]
        lines += [f"{name} {tuple(each.shape)}" for name, each in self.parameters]
        return sha256("\n".join(lines).encode(errors="surrogatepass")).hexdigest()[:12]


def walked(model: nn.Module) -> Tree:
    """The tree below a model."""
    tree, seen = Tree(), set[int]()
    _walk(model, "", tree, seen)
    return tree


def _walk(module: nn.Module, path: str, tree: Tree, seen: set[int]) -> None:
    """Add a module and all below it. / seen: identities of what is in the tree."""
    seen.add(id(module))
    tree.modules.append((path, module))
    _take(module._parameters.items(), path, tree.parameters, seen)
    _take(module._buffers.items(), path, tree.buffers, seen)
    inside = []
    for name, child in module._modules.items():
        if child is None:
            continue
        if id(child) not in seen:
            _walk(child, path if _is_wrappers(name, module) else _below(path, name), tree, seen)
        inside.append(f"{name}:{tree.structures.get(id(child), type(child).__name__)}")
    kind = type(module).__name__
    tree.structures[id(module)] = f"{kind}({','.join(inside)})" if inside else kind


def _take(named: Iterable[tuple[str, Tensor | None]], path: str, into: list, seen: set[int]) -> None:
    for name, tensor in named:
        if tensor is not None and id(tensor) not in seen:
            seen.add(id(tensor))
            into.append((_below(path, name), tensor))


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _is_wrappers(name: str, module: nn.Module) -> bool:
    """Whether a child's name is one that torch.compile or DataParallel added."""
    return name == "_orig_mod" or (
        name == "module" and isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel)
    )
