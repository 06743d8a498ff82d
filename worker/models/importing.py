"""Importing: weights that others published become a model of this service.

For the command line (`upscaled models import`). Not here: which files are read and how
(model_core/foreign.py), where versions lie (service/objects/published.py).
"""

import hashlib
import tempfile
from pathlib import Path

from model_core import checkpoint, foreign, known_answer
from model_core.checkpoint import CheckpointError
from model_core.foreign import ForeignError
from service.auto import AUTO
from service.errors import CheckpointInvalid, InvalidOption
from service.objects import published
from service.objects.base import Storage
from worker.models.trial import bfloat16_loss_db


def import_model(storage: Storage, source: Path, name: str, *, replace: bool = False) -> str:
    """Publish the network in `source` under this name; -> its version, which new jobs get from now on.

    replace   the name may be taken already: then `latest` moves from what is there
    Raises    CheckpointInvalid for a file that holds no network we read, InvalidOption for a taken name
    """
    if name in checkpoint.shipped() or name == AUTO:
        raise InvalidOption(
            f"the name {name!r} belongs to a model that comes with us", field="as", value=name
        )
    try:
        found = foreign.read(source)
        card = {
            "name": name,
            "summary": f"{found.family}, imported from {source.name}.",
            "licence": "its authors'; see where the file came from",
            "source": {"file": source.name, "sha256": _sha256(source)},
            known_answer.CARD_KEY: known_answer.answer(found.model),
            "precision_loss_db": {"bfloat16": round(bfloat16_loss_db(found.model), 4)},
        }
    except (ForeignError, CheckpointError) as error:
        raise CheckpointInvalid(f"{source}: {error}", field="file", value=source.name) from error
    with tempfile.TemporaryDirectory(prefix="upscaled-") as stage:
        folder = Path(stage)
        version = checkpoint.save(folder, found.model, card)
        if replace:
            published.publish(storage, name, version, folder)
        elif not published.publish_first(storage, name, version, folder):
            message = f"there is a model {name!r} already; --force gives its name to this one"
            raise InvalidOption(message, field="as", value=name)
    return version


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
