"""Where a fresh run gets its weights from: a training, a checkpoint, or a model that ships."""

from pathlib import Path

from model_core.checkpoint import CheckpointError, shipped
from model_core.model import Model
from training.run.state import StateError
from training.weights.reading import read_weights


class InitError(ValueError):
    """The weights are unreadable or of another shape than the model."""


def find_initial(name: str) -> Path:
    """A folder as it is, else the model that ships so named. Raises InitError."""
    for found in (Path(name), shipped().get(name)):
        if found is not None and found.is_dir():
            return found
    raise InitError(f"{name}: neither a folder nor one of {sorted(shipped())}")


def load_initial(model: Model, source: Path) -> None:
    """Put weights into the model; a source that holds only G leaves F as it is. Raises InitError."""
    try:
        tensors = read_weights(source)[0].state_dict()
        missing, unknown = model.load_state_dict(tensors, strict=False)
    except (OSError, RuntimeError, CheckpointError, StateError) as error:
        raise InitError(f"{source}: {error}") from error
    parts = {name.split(".")[0] for name in tensors}
    half_filled = [name for name in missing if name.split(".")[0] in parts]
    if unknown or half_filled:
        raise InitError(f"{source}: unknown {unknown[:3]}, missing {half_filled[:3]}")
