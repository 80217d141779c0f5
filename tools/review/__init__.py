"""An independent review of the results: compute every printed number again with other code, and compare the digits.

`python -m tools.review` reads the shards, the weights of the models, `params.yaml` and `tests/data_files/` (the
published bins). From `colorize` it takes only the networks, the list of models, and the names and paths of
`colorize/layout.py`. Reading images, CIELAB, bins, soft targets, priors, class weights, baselines, measures, intervals
and the marks of the tables have their own code here. It uses NumPy with float64, scikit-image and SciPy.

Checked files: data/evaluations/*/*/details.json, the last or best row of data/histories/*/history.csv, and in results/
the metrics, the CSV files, table1.md, table1.tex and table2.md. Not checked: claims.md, the figures, the paper's
numbers in Table 1, and the steps of a history before the one whose weights were kept.

The code is written for plainness, not for speed or for large data sets. It runs on the CPU. A model that was evaluated
on a GPU with TF32 has other last digits.
"""
