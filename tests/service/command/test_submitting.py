"""What becomes of the files of a folder that is submitted."""

from pathlib import Path

from PIL import Image

from service.command.submitting import tasks_of
from service.jobs.model import Options


def test_a_gif_that_moves_stays_one_and_a_still_becomes_a_png(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    folder = tmp_path / "in"
    folder.mkdir()
    frames[0].save(folder / "still.gif")
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    tasks = tasks_of(folder, tmp_path / "out", Options(codec="hevc"))
    assert {task.name: (task.target.name, task.fields["format"]) for task in tasks} == {
        "moving.gif": ("moving.gif", "gif"),
        "still.gif": ("still.png", "png"),
    }
    assert not any("codec" in task.fields for task in tasks)
