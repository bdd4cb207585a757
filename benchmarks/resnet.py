"""ResNet-50 as torchvision writes it, with its writes in place; torchvision itself is not needed.

Source: He et al. (arXiv:1512.03385), the stride in the 3 x 3 convolution.
"""

from itertools import pairwise

from torch import Tensor, nn


def convolution(channels: int, out: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    """A convolution without bias, and its Batch Norm."""
    layer = nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False)
    return [layer, nn.BatchNorm2d(out)]


class Bottleneck(nn.Module):
    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            *convolution(channels, width, 1),
            nn.ReLU(inplace=True),
            *convolution(width, width, 3, stride),
            nn.ReLU(inplace=True),
            *convolution(width, 4 * width, 1),
        )
        is_same = channels == 4 * width and stride == 1
        self.skip = nn.Sequential(*([] if is_same else convolution(channels, 4 * width, 1, stride)))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.branch(x)
        out += self.skip(x)
        return self.relu(out)


class ResNet50(nn.Sequential):
    def __init__(self) -> None:
        blocks: list[nn.Module] = []
        channels = [64]
        for stage, count in enumerate((3, 4, 6, 3)):
            channels += [256 << stage] * count
        for i, (before, after) in enumerate(pairwise(channels)):
            blocks.append(Bottleneck(before, after // 4, 2 if i and before != after else 1))
        super().__init__(
            *convolution(3, 64, 7, 2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
            *blocks,
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(2048, 1000),
        )
