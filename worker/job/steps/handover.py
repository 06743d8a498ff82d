"""What one segment hands to the next of its chain: the stream's state at whole levels, in storage.

Stored beside the part under the same fence, read by whichever worker goes on, deleted when that one is done.
"""

from typing import Any

import numpy as np
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from service.jobs.manifest import Segment
from service.jobs.steps import segment_step
from worker.engine.backends.base import Snapshot
from worker.job.context import WorkerContext
from worker.job.held import patiently


def store_state(context: WorkerContext, key: str, state: Snapshot) -> None:
    """Put there what `load_state` gives back."""
    arrays: dict[str, np.ndarray[Any, Any]] = {"frame": state.frame, "output": state.output}
    if state.hidden.size:
        arrays["hidden"] = state.hidden
    # safetensors writes the memory as it lies, and decoded frames may have padded rows.
    content = save_arrays({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    patiently(context.storage.put, key, content)


def load_state(context: WorkerContext, job_id: str, segment: Segment) -> Snapshot | None:
    """The state before a segment; None where a shot begins."""
    if segment.follows is None:
        return None
    key = _key_of(context, job_id, segment.follows)
    assert key is not None, "a segment with a successor stores its state"
    arrays = load_arrays(patiently(context.storage.get, key))
    none = np.zeros((*arrays["frame"].shape[:2], 0), np.int8)
    return Snapshot(arrays["frame"], arrays["output"], arrays.get("hidden", none))


def delete_state_before(context: WorkerContext, job_id: str, segment: Segment) -> None:
    """Its only reader is done."""
    if segment.follows is not None and (key := _key_of(context, job_id, segment.follows)):
        context.storage.delete(key)


def _key_of(context: WorkerContext, job_id: str, index: int) -> str | None:
    record = context.store.steps(job_id).get(segment_step(index))  # none once the job has ended
    return None if record is None else record.state_key
