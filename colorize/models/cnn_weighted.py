"""The CNN, trained with class rebalancing (paper, section 3.4).

The network is in `colorize/models/classifiers.py`.
"""

from colorize.models.classifiers import CNN

NETWORK = CNN
