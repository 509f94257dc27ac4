"""Image backbones: each builder takes the number of input channels and returns (module, number of features)."""

from collections.abc import Callable

from torch import nn
from torchvision.models import resnet


def resnet18(channels: int) -> tuple[nn.Module, int]:
    """ResNet-18 (He et al., CVPR 2016) without its classifier; torchvision's layers, the stem fitted to `channels`."""
    model = resnet.resnet18(weights=None)
    stem = model.conv1
    model.conv1 = nn.Conv2d(channels, stem.out_channels, stem.kernel_size, stem.stride, stem.padding, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    features = model.fc.in_features
    model.fc = nn.Identity()
    return model, features


BACKBONES: dict[str, Callable[[int], tuple[nn.Module, int]]] = {"resnet18": resnet18}
