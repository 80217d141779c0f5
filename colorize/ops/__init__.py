"""What is there only for speed: Triton kernels, CUDA graphs, compilation.

Not here: formulas that exist nowhere else; each function equals a plain one, with which tests compare it.
"""
