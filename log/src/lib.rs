//! The segmented, chained, checksummed log of one shard.
