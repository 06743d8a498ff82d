"""What one segment hands to the next of its chain: the last frame and the last output, as uint8 in storage.

Stored beside the part under the same fence, read by whichever worker goes on, deleted when that one is done.
"""

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from service.jobs.manifest import Segment
from service.jobs.store import segment_step
from worker.context import WorkerContext
from worker.patience import patiently

Frame = npt.NDArray[np.uint8]


def store_state(context: WorkerContext, key: str, frame: Frame, output: Frame) -> None:
    """frame (h, w, 3), output (H, W, 3): what `load_state` gives back."""
    # safetensors writes the memory as it lies, and decoded frames may have padded rows.
    arrays = {"frame": np.ascontiguousarray(frame), "output": np.ascontiguousarray(output)}
    patiently(context.storage.put, key, save_arrays(arrays))


def load_state(context: WorkerContext, job_id: str, segment: Segment) -> tuple[Frame, Frame] | None:
    """The last frame and output before a segment; None where a shot begins."""
    if segment.follows is None:
        return None
    key = _key_of(context, job_id, segment.follows)
    assert key is not None, "a segment with a successor stores its state"
    state = load_arrays(patiently(context.storage.get, key))
    return state["frame"], state["output"]


def delete_state_before(context: WorkerContext, job_id: str, segment: Segment) -> None:
    """Its only reader is done."""
    if segment.follows is not None and (key := _key_of(context, job_id, segment.follows)):
        context.storage.delete(key)


def _key_of(context: WorkerContext, job_id: str, index: int) -> str | None:
    return context.store.steps(job_id)[segment_step(index)].state_key
