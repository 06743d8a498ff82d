"""Where the objects of a job lie in storage: the one place that knows the layout.

jobs/<id>/input                     the upload as it came
jobs/<id>/job.json                  the manifest as the job was accepted
jobs/<id>/planned.json              the manifest with its plan
jobs/<id>/ended.json                the manifest with the job's end
jobs/<id>/parts/<segment>-<fence>   upscaled frames of one segment
jobs/<id>/states/<segment>-<fence>  where its successor starts from
jobs/<id>/preview.jpg               the frame finished last, reduced
jobs/<id>/preview-pair.jpg          the same on the right of what it was made of
jobs/<id>/result-<fence>.<extension>
jobs/<id>/webhooks.json             what its sender was told of its end
"""

JOBS_PREFIX = "jobs/"


def job_prefix(job_id: str) -> str:
    return f"{JOBS_PREFIX}{job_id}/"


def input_key(job_id: str) -> str:
    return f"{job_prefix(job_id)}input"


def manifest_key(job_id: str) -> str:
    return f"{job_prefix(job_id)}job.json"


def planned_key(job_id: str) -> str:
    return f"{job_prefix(job_id)}planned.json"


def ended_key(job_id: str) -> str:
    return f"{job_prefix(job_id)}ended.json"


def parts_prefix(job_id: str) -> str:
    return f"{job_prefix(job_id)}parts/"


def part_key(job_id: str, segment: int, fence: int) -> str:
    return f"{parts_prefix(job_id)}{segment:06d}-{fence}"


def states_prefix(job_id: str) -> str:
    return f"{job_prefix(job_id)}states/"


def state_key(job_id: str, segment: int, fence: int) -> str:
    return f"{states_prefix(job_id)}{segment:06d}-{fence}"


def preview_key(job_id: str) -> str:
    return f"{job_prefix(job_id)}preview.jpg"


def pair_key(job_id: str) -> str:
    return f"{job_prefix(job_id)}preview-pair.jpg"


def webhooks_key(job_id: str) -> str:
    return f"{job_prefix(job_id)}webhooks.json"


def results_prefix(job_id: str) -> str:
    """What every result's key begins with; it is no folder. Former versions' had no fence."""
    return f"{job_prefix(job_id)}result"


def result_key(job_id: str, fence: int, extension: str) -> str:
    return f"{results_prefix(job_id)}-{fence}.{extension}"


def segment_and_fence(key: str) -> tuple[int, int]:
    """Read back the numbers of a part's or a state's key."""
    segment, fence = key.rsplit("/", 1)[1].split("-")
    return int(segment), int(fence)
