"""Every metric of the project, by name. Whoever causes a fact counts it; Prometheus adds it up.

The API may run as several processes: each writes to the folder PROMETHEUS_MULTIPROC_DIR, empty at the start,
and any of them shows those of all (api/__main__.py). A worker is one process and shows its own port.
No label takes a value from a request: jobs, files and addresses never become labels.
"""

from prometheus_client import Counter, Gauge, Histogram

_REQUEST_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300)
_STAGE_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 120)
_BATCH_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 32)

# HTTP. `route` is the pattern, such as /jobs/{id}, never the path that was asked for.
REQUESTS = Counter("upscaled_requests", "HTTP requests answered.", ["method", "route", "status"])
REQUEST_SECONDS = Histogram(
    "upscaled_request_seconds", "Time to answer a request.", ["method", "route"], buckets=_REQUEST_SECONDS
)
UPLOAD_BYTES = Counter("upscaled_upload_bytes", "Bytes of accepted uploads.")

# Jobs as the store tells, written by the sweeper that looked last.
JOBS = Gauge("upscaled_jobs", "Jobs in each state.", ["state"], multiprocess_mode="livemostrecent")
STEPS_WAITING = Gauge(
    "upscaled_steps_waiting",
    "Steps that a worker could begin now.",
    ["step"],
    multiprocess_mode="livemostrecent",
)
LONGEST_WAIT_SECONDS = Gauge(
    "upscaled_longest_wait_seconds",
    "Time for which the job that waits longest has had no turn, though it has a step that could begin.",
    ["kind"],
    multiprocess_mode="livemostrecent",
)
OLDEST_JOB_SECONDS = Gauge(
    "upscaled_oldest_job_seconds",
    "Age of the oldest job that has not ended.",
    multiprocess_mode="livemostrecent",
)
STORE_MEMORY_RATIO = Gauge(
    "upscaled_store_memory_ratio",
    "Share of the job store's memory that is taken; 0 where it has no limit.",
    multiprocess_mode="livemostrecent",
)
SWEEPER_ACTIONS = Counter("upscaled_sweeper_actions", "What sweepers put right.", ["action"])
WEBHOOKS = Counter("upscaled_webhooks", "Messages sent to receivers of webhooks.", ["outcome"])
STORAGE_ERRORS = Counter("upscaled_storage_errors", "Calls that the storage failed, its retries included.")

# Work
JOBS_ENDED = Counter(
    "upscaled_jobs_ended", "Jobs ended by workers: succeeded, or the error's code.", ["reason"]
)
STEPS_RETRIED = Counter("upscaled_steps_retried", "Steps begun again.", ["step"])
STAGE_SECONDS = Histogram(
    "upscaled_stage_seconds", "Time of one pass of a stage.", ["stage"], buckets=_STAGE_SECONDS
)
FRAMES = Counter("upscaled_frames", "Frames upscaled.")
BATCH_SIZE = Histogram("upscaled_batch_size", "Frames in one pass of the network.", buckets=_BATCH_SIZES)
MODEL_LOAD_FAILURES = Counter("upscaled_model_load_failures", "Versions refused at their gate.", ["model"])

# Of a worker as it stands, written every few seconds by worker/process/observe.py.
READY = Gauge("upscaled_ready", "1 while this worker takes jobs.", multiprocess_mode="livemostrecent")
STREAMS = Gauge("upscaled_streams", "Streams open on the engines.", multiprocess_mode="livemostrecent")
STREAMS_WAITING = Gauge(
    "upscaled_streams_waiting",
    "Streams of which a frame waits for the network.",
    multiprocess_mode="livemostrecent",
)
DEVICE_MEMORY_BYTES = Gauge(
    "upscaled_device_memory_bytes",
    "Memory that PyTorch holds on the CUDA device; 0 on a processor.",
    multiprocess_mode="livemostrecent",
)
DISK_FREE_RATIO = Gauge(
    "upscaled_disk_free_ratio",
    "Free share of the disk that data_dir lies on.",
    multiprocess_mode="livemostrecent",
)
# `version` has as many values at a time as versions are loaded: what was freed is taken out.
MODEL_INFO = Gauge(
    "upscaled_model_info",
    "1 for each model that is loaded.",
    ["model", "version", "precision"],
    multiprocess_mode="livemostrecent",
)
