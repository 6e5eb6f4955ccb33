"""Methods that solve paths: each file one."""
