"""The Triton kernel of the targets against the plain functions of `color/targets.py`."""


def test_targets_are_those_of_the_plain_functions(assert_kernel_is_plain):
    assert_kernel_is_plain("targets_cuda")
