"""Test suites: of cargo, or by any other command."""
