"""The CNN, trained with the plain cross entropy (paper, section 3.3)."""

from colorize.models.classifiers import CNN

NETWORK = CNN
