"""From archives to shards: descriptions of data sets, the image policy, one task per shard. Nothing here trains."""
