"""Code that exists only for speed: fused operations, Triton kernels, CUDA graphs, compilation.

Not here: formulas that have no plain version. Each function below has a plain version with the same result, except for
rounding. Tests compare the two versions:

    up_conv         up_conv.plain, in the same file
    head_loss       head_loss.plain, in the same file
    loss_cuda       head_loss.plain
    targets_cuda    targets.pool(targets.weigh(targets.soft_targets(...))) of color/targets.py
    transform_cuda  data.transform.to_networks on a CPU
    compiled        the network that is passed to it
    graphs          the function that is passed to it
"""
