"""The life of a job: records, state machine, store, leases, sweeper."""
