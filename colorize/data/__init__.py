"""From shards to batches on the device.

Not here: decoding of image files, which is in `sharding`.
"""
