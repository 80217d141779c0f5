"""The U-Net, trained with the plain cross entropy (paper, section 3.4)."""

from colorize.models.classifiers import UNet

NETWORK = UNet
