"""The room of remote: other machines by ssh, every command on any of them."""
