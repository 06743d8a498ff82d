"""The HTTP side: API, jobs, storage, settings, command line. Imports neither torch nor PyAV."""
