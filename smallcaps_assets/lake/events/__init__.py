"""Event shards and MASTER in the lake."""
