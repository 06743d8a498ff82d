"""The job store in Valkey: every change one Lua script."""
