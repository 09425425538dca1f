"""The room of git: the state of the repository and its submodules, and what brings them to another."""
