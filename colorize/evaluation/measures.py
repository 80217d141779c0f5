"""The measures that evaluation computes for each test image: those of the paper, and others.

To add a measure, write a function that takes a `measuring.Compared` and returns one number per image, and add it to
`MEASURES` in this file. docs/measures.md describes all measures. No training depends on this file.
"""

from __future__ import annotations

from colorize.evaluation import colors, distances, distributions, paper
from colorize.evaluation.measuring import Kind, Measure

MEASURES: dict[str, Measure] = {
    **paper.MEASURES,
    "normalized_weighted_cross_entropy": Measure(
        paper.weighted_cross_entropy, Kind.DISTRIBUTIONS, weight="class_weight"
    ),
    "target_entropy": Measure(paper.target_entropy, Kind.DISTRIBUTIONS),
    "kl_divergence": Measure(distributions.kl_divergence, Kind.DISTRIBUTIONS),
    "top5_accuracy": Measure(distributions.top5_accuracy, Kind.DISTRIBUTIONS),
    "rebalanced_accuracy": Measure(distributions.rebalanced_accuracy, Kind.DISTRIBUTIONS, weight="inverse_prior"),
    "auc": Measure(distances.auc, Kind.COLORS),
    "rebalanced_auc": Measure(distances.rebalanced_auc, Kind.COLORS, weight="inverse_prior"),
    "psnr": Measure(distances.psnr, Kind.COLORS),
    "ssim": Measure(distances.ssim, Kind.COLORS),
    "ciede2000": Measure(distances.ciede2000, Kind.COLORS),
    "colorfulness": Measure(colors.colorfulness, Kind.COLORS),
    "true_colorfulness": Measure(colors.true_colorfulness, Kind.COLORS),
    "colorfulness_error": Measure(colors.colorfulness_error, Kind.COLORS),
    "absolute_colorfulness": Measure(colors.absolute_colorfulness, Kind.COLORS),
    "true_absolute_colorfulness": Measure(colors.true_absolute_colorfulness, Kind.COLORS),
    "absolute_colorfulness_error": Measure(colors.absolute_colorfulness_error, Kind.COLORS),
    "near_gray": Measure(colors.near_gray, Kind.COLORS),
    "true_near_gray": Measure(colors.true_near_gray, Kind.COLORS),
    "out_of_gamut": Measure(colors.out_of_gamut, Kind.COLORS),
    "class_weight": Measure(paper.class_weight, Kind.COLORS),
    "inverse_prior": Measure(distributions.inverse_prior, Kind.COLORS),
}
