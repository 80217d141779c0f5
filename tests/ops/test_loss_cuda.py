"""The Triton kernel of the loss against the plain formula."""


def test_loss_and_gradients_are_those_of_the_plain_formula(assert_kernel_is_plain):
    assert_kernel_is_plain("loss_cuda")
