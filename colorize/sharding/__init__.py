"""From archives to shards: descriptions of data sets, the image policy, one task per shard.

Not here: reading shards, which is in `data`.
"""
