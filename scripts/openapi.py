"""Print the API's OpenAPI document, as a service with keys gives it: `python scripts/openapi.py`."""

import json
import tempfile
from pathlib import Path

from service.api.app import create_app
from service.jobs.memory.store import MemoryStore
from service.objects.files import FileStorage
from service.queue import CeleryQueue, celery_app
from service.settings import Settings

with tempfile.TemporaryDirectory() as folder:
    settings = Settings(data_dir=Path(folder), auth="keys")
    store = MemoryStore(lease_s=settings.lease_s, attempts_max=settings.attempts_max)
    storage = FileStorage(settings.objects_dir)
    app = create_app(settings, store, storage, CeleryQueue(celery_app(settings)))
    print(json.dumps(app.openapi(), indent=1))
