"""The U-Net, trained with the plain cross entropy (paper, section 3.4).

The network is in `colorize/models/classifiers.py`.
"""

from colorize.models.classifiers import UNet

NETWORK = UNet
