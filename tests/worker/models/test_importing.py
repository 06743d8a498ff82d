"""Imported weights serve as our own do: over real storage, from a file in the names others gave it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from model_core import checkpoint, foreign
from model_core.pixels import to_float, to_uint8
from model_core.recurrence import unroll
from service.command.main import main
from service.jobs.model import Options
from service.objects import published
from service.objects.files import FileStorage
from service.settings import Settings
from worker.media.pictures.reading import read_image
from worker.models.registry import Registry
from worker.offline.folder import upscale_folder
from worker.offline.local import upscale


@pytest.fixture(autouse=True, scope="session")
def one_torch_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UPSCALED_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("UPSCALED_PRECISION", "float32")
    return tmp_path / "data"


def compact_file(path: Path, seed: int = 0) -> Path:
    """SRVGGNetCompact of 8 features and 2 convolutions, as Real-ESRGAN saves it."""
    torch.manual_seed(seed)
    weights = {}
    for index, (inputs, outputs) in enumerate([(3, 8), (8, 8), (8, 8), (8, 48)]):
        layer = torch.nn.Conv2d(inputs, outputs, 3)
        weights |= {f"body.{2 * index}.weight": layer.weight.data, f"body.{2 * index}.bias": layer.bias.data}
        if index < 3:
            weights[f"body.{2 * index + 1}.weight"] = torch.full((8,), 0.25)
    torch.save({"params": weights}, path)
    return path


def expected_of(file: Path, picture: np.ndarray) -> np.ndarray:
    low = to_float(torch.from_numpy(picture[None]))
    with torch.inference_mode():
        return to_uint8(unroll(foreign.read(file).model, low[None])[0])[0].numpy()


def picture(seed: int, shape: tuple[int, int] = (12, 16)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def test_an_imported_network_passes_the_gate_and_serves_streams(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = compact_file(tmp_path / "tiny.pth")
    assert main(["models", "import", str(file), "--as", "tiny-x4"]) == 0
    version = capsys.readouterr().out.strip()
    settings = Settings()
    frames = [picture(seed) for seed in range(5)]
    with (
        Registry(FileStorage(settings.objects_dir), settings) as models,
        models.acquire("tiny-x4") as model,
        model.engine.open(12, 16) as stream,
    ):
        assert model.version == version
        assert "tiny.pth" in model.card["summary"]
        assert model.card["known_answer"]  # so the gate has something to check
        for frame in frames:
            stream.put(frame)
        stream.end()
        for frame in frames:
            high = stream.get()
            assert high is not None
            assert np.abs(high.astype(int) - expected_of(file, frame)).max() <= 1
        assert stream.get() is None


@pytest.mark.usefixtures("data")
def test_the_command_line_upscales_with_an_imported_network(tmp_path: Path) -> None:
    file = compact_file(tmp_path / "tiny.pth")
    assert main(["models", "import", str(file), "--as", "tiny-x4"]) == 0
    frame = picture(7)
    (tmp_path / "in").mkdir()
    Image.fromarray(frame).save(tmp_path / "in" / "7.png")

    def ignore(_done: int, _total: int | None) -> None: ...

    report = upscale_folder(tmp_path / "in", tmp_path / "out", Options(model="tiny-x4"), ignore)
    assert report["model"] == "tiny-x4"
    upscale(tmp_path / "in" / "7.png", tmp_path / "one.png", Options(model="tiny-x4"), ignore)
    for made in (tmp_path / "out" / "7.png", tmp_path / "one.png"):
        high = read_image(made, pixels_max=10**6).rgb
        assert np.abs(high.astype(int) - expected_of(file, frame)).max() <= 1


def test_a_name_that_is_taken_is_refused_unless_forced(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (str(compact_file(tmp_path / f"{seed}.pth", seed)) for seed in (1, 2))
    assert main(["models", "import", first, "--as", "tiny"]) == 0
    old = capsys.readouterr().out.strip()
    assert main(["models", "import", second, "--as", "tiny"]) == 1
    assert "'tiny'" in capsys.readouterr().err
    storage = FileStorage(data / "objects")
    assert published.read_latest(storage, "tiny").version == old
    assert main(["models", "import", second, "--as", "tiny", "--force"]) == 0
    new = capsys.readouterr().out.strip()
    assert published.read_latest(storage, "tiny") == published.Latest(new, previous=old)


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_the_name_of_a_model_that_comes_with_us_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], force: list[str]
) -> None:
    file = compact_file(tmp_path / "tiny.pth")
    assert main(["models", "import", str(file), "--as", next(iter(checkpoint.shipped())), *force]) == 1
    assert "comes with us" in capsys.readouterr().err


@pytest.mark.usefixtures("data")
def test_a_file_that_holds_no_network_is_one_line_and_publishes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "no.pth").write_text("nothing of the kind")
    assert main(["models", "import", str(tmp_path / "no.pth"), "--as", "no"]) == 1
    error = capsys.readouterr().err
    assert "not a file of weights" in error
    assert error.count("\n") == 1
    assert main(["models", "list"]) == 0
    assert "no.pth" not in capsys.readouterr().out


@pytest.mark.usefixtures("data")
def test_the_list_shows_what_was_imported_beside_the_baseline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["models", "import", str(compact_file(tmp_path / "tiny.pth")), "--as", "tiny"])
    version = capsys.readouterr().out.strip()
    assert main(["models", "list"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert rows.keys() == {"bicubic", "tiny"}
    assert version in rows["tiny"]
    assert "SRVGGNetCompact" in rows["tiny"]


@pytest.mark.parametrize("name", ["../up", ".hidden", "a/b", "", "x" * 65])
def test_a_name_that_cannot_be_one_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["models", "import", str(compact_file(tmp_path / "tiny.pth")), "--as", name])
    assert end.value.code == 2
    assert "a name is" in capsys.readouterr().err
