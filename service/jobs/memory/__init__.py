"""The job store in this process's memory, by the same rules, for a service without Valkey and for tests."""
