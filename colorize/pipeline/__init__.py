"""What only a run of DVC needs: what a stage promises, and the record of what it computed.

Not here: anything that a single stage computes.
"""
