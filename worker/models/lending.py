"""Lending: work without a server may use what was published to the settings' storage.

Such work keeps its own files in a temporary storage, so one model is copied there before it begins.
"""

from model_core import checkpoint
from service.objects import published
from service.objects.base import InvalidKey, NotFound, Storage
from service.objects.open import open_storage
from service.settings import Settings


def lend(name: str, borrower: Storage) -> None:
    """Copy the latest version of a model; nothing happens where there is none, or it comes with us."""
    settings = Settings()
    if name in checkpoint.shipped() or (settings.storage == "files" and not settings.objects_dir.is_dir()):
        return
    lender = open_storage(settings)
    try:
        version = published.read_latest(lender, name).version
    except (NotFound, InvalidKey):
        return  # whoever asks for the model says so
    for file in published.FILES:
        key = published.file_key(name, version, file)
        borrower.put(key, lender.open(key))
    published.move_latest(borrower, name, version)
