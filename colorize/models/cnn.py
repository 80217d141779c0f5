"""The CNN, trained with the plain cross entropy (paper, section 3.3).

The network is in `colorize/models/classifiers.py`.
"""

from colorize.models.classifiers import CNN

NETWORK = CNN
