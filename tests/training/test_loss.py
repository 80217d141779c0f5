"""The cross entropy is that of dense targets and logits of the image's size; the scale of the L2 loss."""

import pytest
import torch
from torch.nn import functional

from colorize.color import gamut, targets
from colorize.training import loss

OPTIONS = targets.Options(10, 5.0, "pixel")
CHANNELS = 6


@pytest.fixture(params=[False, True], ids=["unweighted", "weighted"])
def weights(request) -> torch.Tensor:
    """(Q,) class weights."""
    torch.manual_seed(1)
    return torch.rand(gamut.NUM_BINS) * 6 + 0.1 if request.param else torch.ones(gamut.NUM_BINS)


def inputs(stride: int) -> tuple[torch.Tensor, torch.nn.Conv2d, torch.Tensor]:
    """Features, head and colors of 2 images."""
    torch.manual_seed(0)
    features = torch.randn(2, CHANNELS, 26, 28).to(memory_format=torch.channels_last)
    head = torch.nn.Conv2d(CHANNELS, gamut.NUM_BINS, 1)
    return features.requires_grad_(), head, torch.rand(2, 2, 26 * stride, 28 * stride) - 0.5


def dense_loss(features, head, ab_norm, weights) -> torch.Tensor:
    """The formula in float64, with a dense target and logits of the images' size: mean of w * sum(t * -log p)."""
    bins, values = gamut.soft_encode(ab_norm * 128)
    zeros = torch.zeros(*bins.shape[:3], gamut.NUM_BINS, dtype=torch.float64)
    target = zeros.scatter_add(-1, bins, values.double()).movedim(-1, 1)  # (B, Q, H, W)
    logits = functional.conv2d(features, head.weight, head.bias)
    logits = functional.interpolate(logits, ab_norm.shape[-2:], mode="nearest")
    of_pixel = weights.double()[gamut.nearest_bin(ab_norm * 128)]
    return (of_pixel * -(target * logits.log_softmax(1)).sum(1)).mean()


@pytest.mark.parametrize("stride", [1, 2])
def test_loss_and_gradients_equal_autograd_on_the_dense_formula(weights, stride):
    """At stride 2 the logits have half the size, and the loss is exactly that of logits upsampled by nearest."""
    features, head, ab_norm = inputs(stride)
    weighted = targets.weigh(targets.soft_targets(ab_norm, OPTIONS), ab_norm, weights)
    found = loss.soft_cross_entropy(features, head, targets.pool(weighted, stride))
    found.backward()

    exact_features = features.detach().double().requires_grad_()
    exact_head = torch.nn.Conv2d(CHANNELS, gamut.NUM_BINS, 1).double()
    exact_head.load_state_dict(head.state_dict())
    expected = dense_loss(exact_features, exact_head, ab_norm, weights)
    expected.backward()

    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    for mine, exact in ((features, exact_features), (head.weight, exact_head.weight), (head.bias, exact_head.bias)):
        assert mine.grad.dtype == torch.float32
        assert (mine.grad - exact.grad).norm() <= 1e-5 * exact.grad.norm()


def test_averaging_targets_and_weights_separately_would_be_another_loss():
    weights = torch.linspace(0.1, 6, gamut.NUM_BINS)
    features, head, ab_norm = inputs(stride=2)
    plain = targets.soft_targets(ab_norm, OPTIONS)
    exact = targets.pool(targets.weigh(plain, ab_norm, weights), 2)
    mean_weight = functional.avg_pool2d(weights[gamut.nearest_bin(ab_norm * 128)][:, None], 2)[:, 0]
    separate = targets.pool(plain, 2)
    separate = separate._replace(values=separate.values * mean_weight[..., None])
    gradients = []
    for target in (exact, separate):
        head.zero_grad()
        loss.soft_cross_entropy(features, head, target).backward()
        gradients.append(head.weight.grad.clone())
    assert (gradients[1] - gradients[0]).norm() > 0.05 * gradients[0].norm()


def test_l2_loss_is_half_the_squared_error_of_a_and_b_per_pixel():
    predicted, truth = torch.zeros(1, 2, 1, 2), torch.zeros(1, 2, 1, 2)
    predicted[0, :, 0, 0] = torch.tensor([0.3, -0.4])
    assert loss.l2_loss(predicted, truth).item() == pytest.approx((0.09 + 0.16) / 2 / 2)


def test_l2_loss_does_not_depend_on_the_size_of_images_or_batch():
    predicted, truth = torch.rand(1, 2, 4, 4), torch.rand(1, 2, 4, 4)
    once = loss.l2_loss(predicted, truth)
    torch.testing.assert_close(loss.l2_loss(predicted.repeat(3, 1, 2, 2), truth.repeat(3, 1, 2, 2)), once)
