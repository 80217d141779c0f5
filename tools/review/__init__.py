"""An independent review of the results: compute every printed number again with other code, and compare the digits.

`python -m tools.review` reads the shards, the weights of the models, `params.yaml` and `tests/data_files/` (the
published bins). From `colorize` it takes only the networks, the list of models, and the names and paths of
`colorize/layout.py`. Reading images, CIELAB, bins, soft targets, priors, class weights, baselines, measures, intervals
and the marks of the tables have their own code here. It uses NumPy with float64, scikit-image and SciPy.

The code is written for plainness, not for speed or for large data sets.
"""
