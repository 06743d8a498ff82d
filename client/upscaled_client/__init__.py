"""Send pictures and video to an upscaled server, and fetch them four times larger.

from pathlib import Path
from upscaled_client import Client

with Client("http://127.0.0.1:8000") as client:
    client.submit(Path("clip.mp4"), Path("large.mp4"), {"scale": 2})
"""

from upscaled_client.aio import AsyncClient
from upscaled_client.client import Client
from upscaled_client.errors import JobFailed, Refused, ResultDamaged, Unreachable, UpscaledError
from upscaled_client.records import Job, JobError, JobPage, Links, Model, Progress, Wanted

__all__ = [
    "AsyncClient",
    "Client",
    "Job",
    "JobError",
    "JobFailed",
    "JobPage",
    "Links",
    "Model",
    "Progress",
    "Refused",
    "ResultDamaged",
    "Unreachable",
    "UpscaledError",
    "Wanted",
]
