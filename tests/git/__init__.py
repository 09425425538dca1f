"""Tests of the room git."""
