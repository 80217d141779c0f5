"""Code for runs under DVC: a check that the inputs of a stage did not change, and the record of the stage's run.

Not here: anything that a single stage computes.
"""
