"""Loss, loop and files of one training."""
