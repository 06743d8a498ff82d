"""The life of a job: records, state machine, store, leases, manifest.

Start reading at states.py, then store.py. Knows neither HTTP nor workers.
"""
