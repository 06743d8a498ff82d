"""A folder of numbered frames, upscaled into another: a video of one shot without a container.

For the command line (`upscaled upscale FOLDER OUT`). Not here: names and numbers (media/numbered.py),
videos and single pictures (local.py).
"""

import tempfile
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

from service.auto import decide
from service.errors import UnsupportedMedia
from service.jobs.model import Options
from service.objects.files import FileStorage
from service.settings import Settings
from worker.engine.reducing import reduced
from worker.engine.stream import Stream, StreamClosed
from worker.frames import HighFrame, LowFrame, is_deep
from worker.job.steps.feeder import Feeder, lead_in
from worker.media.numbered import Folder, FrameWriter, list_frames, read_frames
from worker.media.sizes import target_size
from worker.media.traits import traits_of
from worker.models.lending import lend
from worker.models.registry import Registry


def upscale_folder(
    source: Path, target: Path, options: Options, on_progress: Callable[[int, int | None], None]
) -> dict[str, Any]:
    """Upscale every frame under its own name; returns what was done.

    on_progress   told the frames done and in all
    Raises        InputError for a folder, a frame or an option that is at fault
    """
    options.check_fit("image", what="a folder of frames")
    found = list_frames(source)
    writer = FrameWriter(target, found, kind=options.format, quality=options.quality)
    with tempfile.TemporaryDirectory(prefix="upscaled-") as folder:
        settings = Settings(data_dir=Path(folder))
        storage = FileStorage(settings.objects_dir)
        first = next(read_frames(found, 0, 1, pixels_max=settings.pixels_max))
        named = options.model or settings.default_video_model
        chosen = decide(named, traits_of(first.rgb), options.strength)
        lend(chosen.model, storage)
        size = target_size((first.rgb.shape[1], first.rgb.shape[0]), options.size_wanted)
        with (
            Registry(storage, settings) as models,
            models.acquire(chosen.model) as model,
            model.engine.open(
                *first.rgb.shape[:2], is_deep=is_deep(first.rgb), strength=chosen.share
            ) as stream,
            Feeder(
                stream,
                _opaque(found, settings.pixels_max),
                config=model.config,
                lead=lead_in(model.config, found.frame_count),
            ) as feeder,
        ):
            for frames_done in range(found.frame_count):
                high = reduced(_next_output(stream, feeder), size)
                writer.write(replace(first, rgb=high))
                on_progress(frames_done + 1, found.frame_count)
            return {
                "model": model.name,
                "version": model.version,
                **({} if chosen.reason is None else {"model_reason": chosen.reason}),
                "strength": chosen.strength,
                "precision": model.precision,
                "frames": found.frame_count,
                "notices": list(found.notices),
            }


def _opaque(found: Folder, pixels_max: int) -> Generator[LowFrame]:
    for path, picture in zip(
        found.paths, read_frames(found, 0, found.frame_count, pixels_max=pixels_max), strict=True
    ):
        if picture.alpha is not None:
            message = f"{path.name} is transparent; frames of a sequence may not be"
            raise UnsupportedMedia(message, field="file", value=path.name)
        yield picture.rgb


def _next_output(stream: Stream, feeder: Feeder) -> HighFrame:
    try:
        high = stream.get()
    except StreamClosed:
        feeder.check()  # closed because reading failed
        raise
    assert high is not None, "one frame out for each frame in"
    return high
