"""`upscaled submit`: a file or a whole folder, what is done already, and what Ctrl-C leaves."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from service.command.main import main
from service.jobs.model import Job
from service.jobs.states import JobEvent
from tests.client.serving import RESULT, Counting, fail, finish, jobs_of, working
from tests.servers import ROOT
from tests.service.api.harness import Service, running
from tests.service.api.samples import CLIP, look_into_next, png


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures and two videos in three folders, and what is no medium."""
    folder = tmp_path / "in"
    (folder / "holiday" / "first day").mkdir(parents=True)
    (folder / ".thumbnails").mkdir()
    for name in ("a.mp4", "holiday/b.MOV"):
        (folder / name).write_bytes(CLIP)
    for name in ("holiday/first day/c.png", "holiday/d.gif", ".thumbnails/e.png"):
        (folder / name).write_bytes(png())
    (folder / "notes.txt").write_text("sunny")
    return folder


RESULTS = {"a.mp4", "holiday/b.mkv", "holiday/d.png", "holiday/first day/c.png"}


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_file_is_sent_with_what_was_given_and_the_format_of_the_results_name(
    service: Service, source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "large.mkv"
    with running(service.app) as server, working(service):
        given = ["submit", str(source), "-o", str(target), "--scale", "2", "--start", "1.5"]
        assert main([*given, "--server", server]) == 0
    [job] = jobs_of(service)
    assert job.options.model_dump(exclude_unset=True, exclude_defaults=True) == {
        "scale": 2,
        "format": "mkv",
        "start": 1.5,
    }
    assert target.read_bytes() == RESULT


def test_the_notices_of_a_report_are_shown(
    service: Service, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def finish_with_notice(service: Service, job: Job) -> None:
        service.store.add_notices(job.id, ["the subtitles were dropped"])
        notices = service.store.get(job.id).report
        key = f"jobs/{job.id}/result-1.mp4"
        service.storage.put(key, RESULT)
        service.store.transition(job.id, JobEvent.ASSEMBLY_STARTED)
        service.store.transition(job.id, JobEvent.SUCCEED, result_key=key, report=notices)

    with running(service.app) as server, working(service, finish_with_notice):
        assert main(["submit", str(source), "-o", str(tmp_path / "large.mp4"), "--server", server]) == 0
    assert capsys.readouterr().err == "upscaled: note: the subtitles were dropped\n"


def test_a_folder_keeps_its_shape_and_the_options_go_to_whom_they_are_for(
    service: Service, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with running(service.app) as server, working(service):
        given = ["submit", str(folder), "-o", str(out), "--codec", "hevc", "--scale", "2"]
        assert main([*given, "--server", server]) == 0
    assert files_below(out) == RESULTS
    assert all((out / name).read_bytes() == RESULT for name in RESULTS)
    by_name = {job.filename: job.options for job in jobs_of(service)}
    assert {name: (options.scale, options.codec, options.format) for name, options in by_name.items()} == {
        "a.mp4": (2, "hevc", "mp4"),
        "b.MOV": (2, "hevc", "mkv"),
        "c.png": (2, None, "png"),
        "d.gif": (2, None, "png"),
    }


def test_what_is_done_is_skipped_and_what_changed_since_is_not(
    service: Service, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    counting = Counting(service.app)
    with running(counting) as server, working(service, pause_s=0):
        given = ["submit", str(folder), "-o", str(out), "--server", server]
        assert main(given) == 0
        assert main(given) == 0
        assert counting.asked.count("POST /v1/upscale") == len(RESULTS)
        later = time.time() + 60
        os.utime(folder / "a.mp4", (later, later))
        assert main(given) == 0
    assert counting.asked.count("POST /v1/upscale") == len(RESULTS) + 1


def test_a_file_that_fails_holds_no_other_up(
    service: Service, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def end(service: Service, job: Job) -> None:
        (fail if job.filename == "b.MOV" else finish)(service, job)

    out = tmp_path / "out"
    with running(service.app) as server, working(service, end):
        assert main(["submit", str(folder), "-o", str(out), "--server", server]) == 1
    error = capsys.readouterr().err
    assert "upscaled: holiday/b.MOV: the job failed: there is only sound" in error
    assert "upscaled: 1 of 4 files failed; the same command tries them again" in error
    assert files_below(out) == RESULTS - {"holiday/b.mkv"}


def test_a_lossless_video_becomes_mkv(service: Service, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with running(service.app) as server, working(service, pause_s=0):
        given = ["submit", str(folder), "-o", str(out), "--codec", "ffv1"]
        assert main([*given, "--server", server]) == 0
    assert files_below(out) == RESULTS - {"a.mp4"} | {"a.mkv"}


def test_folders_that_cannot_be_right_are_refused_before_anything_is_sent(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(source: Path, target: Path) -> str:
        assert main(["submit", str(source), "-o", str(target)]) == 2
        return capsys.readouterr().err

    assert "the results would lie among the inputs" in refused(folder, folder / "out")
    (tmp_path / "file").write_text("")
    assert "is no folder" in refused(folder, tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert "holds no picture and no video" in refused(tmp_path / "empty", tmp_path / "out")
    (folder / "holiday" / "b.webm").write_bytes(CLIP)
    assert "holiday/b.MOV and holiday/b.webm would both become holiday/b.mkv" in refused(
        folder, tmp_path / "out"
    )


def test_a_key_and_a_password_at_once_are_a_wrong_argument(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UPSCALED_KEY", "hidden")
    server = "http://me:secret@127.0.0.1:1"
    assert main(["submit", str(source), "-o", str(tmp_path / "large.mp4"), "--server", server]) == 2
    assert "both a key and a password" in capsys.readouterr().err


def started(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "service.command", "submit", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'client'}"},
    )


def stopped(command: subprocess.Popen[str]) -> tuple[int, str]:
    command.send_signal(signal.SIGINT)
    _, error = command.communicate(timeout=60)
    return command.returncode, error


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_ctrl_c_says_how_to_go_on_and_the_same_command_does(
    service: Service, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    counting = Counting(service.app)
    with running(counting) as server:
        command = started(folder, "-o", out, "--server", server)
        looks = "GET /v1/jobs/"
        eventually(lambda: len({path for path in counting.asked if path.startswith(looks)}) == len(RESULTS))
        status, error = stopped(command)
        assert status == 130
        assert error.startswith("upscaled: stopped, but on the server it goes on: the same command waits for")
        assert all(job.id in error for job in jobs_of(service))
        with working(service):
            assert main(["submit", str(folder), "-o", str(out), "--server", server]) == 0
    assert counting.asked.count("POST /v1/upscale") == len(RESULTS)
    assert files_below(out) == RESULTS


def test_ctrl_c_before_anything_was_accepted_promises_nothing(source: Path, tmp_path: Path) -> None:
    command = started(source, "-o", tmp_path / "large.mp4", "--server", "http://127.0.0.1:1")
    eventually((tmp_path / ".large.mp4.upscaled").exists)
    assert stopped(command) == (130, "upscaled: stopped; the same command begins anew\n")


def test_ctrl_c_while_the_server_is_away_does_not_forget_what_it_has(
    service: Service, source: Path, tmp_path: Path
) -> None:
    given = (source, "-o", tmp_path / "large.mp4", "--server")
    counting = Counting(service.app)
    front = running(counting)
    with front as server:
        command = started(*given, server)
        eventually(lambda: any(path.startswith("GET /v1/jobs/") for path in counting.asked))
        stopped(command)
    [job] = jobs_of(service)
    with socket.create_server(("127.0.0.1", front.port)) as silent:  # takes connections and says nothing
        command = started(*given, server)
        with silent.accept()[0]:
            status, error = stopped(command)
    assert status == 130
    assert "on the server it goes on" in error
    assert job.id in error


def test_a_file_that_lies_elsewhere_is_named_by_its_address(service: Service, tmp_path: Path) -> None:
    service.settings = service.settings.model_copy(update={"outgoing_allowed": "127.0.0.0/8"})
    film = Starlette(routes=[Route("/film.mp4", lambda _: Response(CLIP))])
    target = tmp_path / "large.mp4"
    with running(film) as elsewhere, running(service.app) as server, working(service):
        given = ["submit", "--url", f"{elsewhere}/film.mp4", "-o", str(target), "--server", server]
        assert main(given) == 0
    [job] = jobs_of(service)
    assert (job.filename, job.size_bytes) == ("film.mp4", len(CLIP))
    assert target.read_bytes() == RESULT
    assert main(["submit", "-o", str(target)]) == 2
    assert main(["submit", "a.mp4", "--url", "https://a", "-o", str(target)]) == 2


def test_an_estimate_is_told_in_words_and_leaves_nothing(
    service: Service, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    looking = threading.Thread(target=look_into_next, args=(service,))
    with running(service.app) as server:
        looking.start()
        assert main(["estimate", str(source), "--scale", "2", "--server", server]) == 0
        looking.join()
    told = capsys.readouterr()
    assert "24 frames of 288x192, mp4, h264, by bicubic" in told.out
    assert "not known" in told.out
    assert "note: sound is dropped" in told.err
    assert jobs_of(service) == []
