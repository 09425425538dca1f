"""Declarative tasks for people who run local LLMs from a repository of their own."""

__version__ = "0.1.0"
