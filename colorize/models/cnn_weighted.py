"""The CNN, trained with class rebalancing (paper, section 3.4)."""

from colorize.models.classifiers import CNN

NETWORK = CNN
