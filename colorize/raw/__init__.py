"""Raw archives -> shards of small images: sources, readers, the image policy."""
