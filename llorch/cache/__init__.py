"""The room of cache: targets by content, shared between machines, restored instead of made again."""
