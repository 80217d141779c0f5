"""The steps of `dvc.yaml`: thin scripts that call one function of `colorize` each."""
