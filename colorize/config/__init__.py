"""Parameter and source files, read strictly and checked. What the values mean is said by the code that uses them."""
