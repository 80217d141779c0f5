"""What only a run of DVC needs: a stage's begin and end, what it promises, and the record of what it computed."""
