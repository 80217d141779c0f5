"""The table of kernels puts each kernel into its kind, and adds up times and calls."""

import pytest

from benchmarks import kernels
from benchmarks.kernels import Kernel

NAMES = {
    "convolutions": [
        "sm90_xmma_fprop_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc_tilesize128x128x64_warpgroupsize1x1x1_g1_"
        "execute_segment_k_off_kernel__5x_cudnn",
        "sm90_xmma_dgrad_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc_tilesize64x64x64_warpgroupsize1x1x1_g8_"
        "execute_split_k_kernel__5x_cudnn",
        "void cutlass__5x_cudnn::Kernel<cutlass_tensorop_bf16_s16816wgrad_optimized_bf16_128x64_64x4_nhwc_align8>",
        "void cudnn::engines_precompiled::nchwToNhwcKernel<__nv_bfloat16, float>(...)",
    ],
    "workspace initialization": [
        "void cask_plugin__5x_cudnn::xmma__5x_cudnn::init_device_workspace_kernel<xmma__5x_cudnn::implicit_gemm::"
        "wgrad_indexed::Warp_specialized_params<...> >(...)",
        "void cask__5x_cudnn::computeOffsetsKernel<false, false>(cask__5x_cudnn::ComputeOffsetsParams)",
        "Memset (Device)",
    ],
    "BatchNorm": [
        "triton_red_fused__native_batch_norm_legit_functional_relu_3",
        "triton_per_fused__to_copy_native_batch_norm_backward_threshold_backward_11",
        "void at::native::batch_norm_backward_reduce_channels_last_kernel<4, at::native::x>(...)",
    ],
    "pointwise by Inductor": [
        "triton_poi_fused__native_batch_norm_legit_functional_max_pool2d_with_indices_5",
        "triton_poi_fused_convolution_relu_0",
        "triton_red_fused_convolution_backward_sum_9",
    ],
    "our loss kernel": ["_overwrite_logits"],
    "our input kernels": ["_weighted_targets", "_to_networks"],
    "products of the head": [
        "nvjet_sm90_tst_128x256_64x4_1x2_h_bz_coopA_NTT",
        "sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64_warpgroupsize1x1x1_execute_segment_k_off_kernel__"
        "5x_cublas",
        "void cublasLt::splitKreduce_kernel<32, 16, int, float, __nv_bfloat16, float>(...)",
        "ampere_bf16_s16816gemm_bf16_128x128_ldg8_f2f_stages_32x5_nt",
    ],
    "optimizer": [
        "void at::native::(anonymous namespace)::multi_tensor_apply_kernel<at::native::(anonymous namespace)::"
        "FusedOptimizerTensorListMetadata<4>, at::native::(anonymous namespace)::FusedAdamMathFunctor<float, 4>>(...)",
        "void at::native::(anonymous namespace)::multi_tensor_apply_kernel<at::native::(anonymous namespace)::"
        "TensorListMetadata<1>, at::native::(anonymous namespace)::LpNormFunctor<float, (at::native::NormType)1>>(...)",
        "void at::native::lpnorm_cleanup<float, (at::native::NormType)1, float>(...)",
    ],
    "other": [
        "void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<float> >(...)",
        "void at::native::reduce_kernel<512, 1, at::native::ReduceOp<double>>(...)",
        "Memcpy DtoD (Device -> Device)",
    ],
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in NAMES.items() for name in names])
def test_the_name_of_a_kernel_says_its_kind(kind, name):
    assert kernels.kind_of(name) == kind


def test_every_kind_has_a_name_here():
    assert set(NAMES) == set(kernels.KINDS)


def test_kernels_of_a_kind_are_added_up(capsys):
    found = {"nvjet_a": Kernel(1.5, 2), "_to_networks": Kernel(0.25, 1), "nvjet_b": Kernel(0.5, 3)}
    assert kernels.by_kind(found) == {"our input kernels": Kernel(0.25, 1), "products of the head": Kernel(2, 5)}
    assert [kernel["name"] for kernel in kernels.details(found)["longest_kernels"]] == [
        "nvjet_a",
        "nvjet_b",
        "_to_networks",
    ]
    kernels.show("a title", found)
    *_, last, _ = capsys.readouterr().out.splitlines()
    assert [word for word in last.split() if word.isalnum() or "." in word] == ["all", "2.250", "6"]
