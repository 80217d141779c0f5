"""What is there for speed alone; each function equals a plain formula elsewhere, with which tests compare it."""
