"""How hosts are changed is shown by the commands that change them: `test_setup_cli`, `test_sync_cli`."""
