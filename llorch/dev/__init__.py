"""The room of dev: a new machine to a working one, and what can be told of it."""
