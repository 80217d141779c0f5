"""Raw archives -> shards of 64x64 RGB -> batches."""
