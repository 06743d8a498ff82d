"""Small files to upload, and a job led to its end as the workers would."""

import io
import struct
import time

from PIL import Image

from service.jobs import keys, manifest
from service.jobs.ending import end
from service.jobs.manifest import Manifest, Segment
from service.jobs.model import Job, Options
from service.jobs.states import JobEvent
from service.jobs.store import JobStore
from service.objects.base import Storage
from tests.service.api.harness import Service

# What a player would refuse and a signature accepts: the API looks no further.
CLIP = struct.pack(">I4s4s", 24, b"ftyp", b"isom") + bytes(12) + b"frames and sound" * 100


def png(width: int = 8, height: int = 6) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 9)).save(out, "PNG")
    return out.getvalue()


def png_that_declares(width: int, height: int) -> bytes:
    """A header without the pixels it speaks of."""
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + bytes(40)


def stored_job(store: JobStore, storage: Storage, job_id: str, *, filename: str = "clip.mp4") -> Job:
    job = Job(
        id=job_id,
        options=Options(),
        kind="video",
        filename=filename,
        size_bytes=len(CLIP),
        sha256="0" * 64,
        created_at=1000.0,
        updated_at=1000.0,
    )
    storage.put(keys.input_key(job_id), CLIP)
    manifest.save(storage, Manifest(job=job))
    return store.create(job)


def begin(store: JobStore, job_id: str, *, frames_total: int = 10) -> None:
    """Planned and running."""
    store.transition(job_id, JobEvent.PLANNING_STARTED)
    store.set_segments(job_id, [Segment(index=0, frame_start=0, frame_stop=frames_total)])
    store.transition(job_id, JobEvent.PLANNED, frames_total=frames_total)


def succeed(store: JobStore, storage: Storage, job_id: str, result: bytes, extension: str = "mp4") -> None:
    """From running to the end."""
    key = keys.result_key(job_id, 1, extension)
    storage.put(key, result)
    store.transition(job_id, JobEvent.ASSEMBLY_STARTED)
    store.transition(job_id, JobEvent.SUCCEED, result_key=key, report={"frames_out": 10})


ESTIMATE = {
    "frames": 24,
    "width": 288,
    "height": 192,
    "format": "mp4",
    "codec": "h264",
    "result_bytes": None,
    "megapixels": 0.083,
    "seconds": None,
    "wait_s": None,
    "measured_jobs": 0,
}


def look_into_next(service: Service) -> None:
    """A worker that looks into the next job that comes."""
    while not service.queue.sent:
        time.sleep(0.01)
    job_id, _ = service.queue.sent.pop()
    report = {"model": "bicubic", "estimate": ESTIMATE, "notices": ["sound is dropped"]}
    job = service.store.transition(job_id, JobEvent.PLANNING_STARTED)
    end(service.store, service.storage, job, JobEvent.ESTIMATED, report=report)
