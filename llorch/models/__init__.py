"""Models: declared in a catalog, made to be on disk, verified."""
