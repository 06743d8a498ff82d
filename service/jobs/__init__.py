"""The life of a job: records, state machine, store, leases, manifest. Knows neither HTTP nor workers."""
