"""Binaries of cargo workspaces: built when an input has changed, and only then."""
