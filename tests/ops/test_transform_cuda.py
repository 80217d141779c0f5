"""The Triton kernel that mirrors and converts a batch against the conversion on a CPU."""


def test_mirrored_and_converted_batches_are_those_of_a_cpu(assert_kernel_is_plain):
    assert_kernel_is_plain("transform_cuda")
