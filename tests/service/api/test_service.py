"""Health, models, metrics, the page, and that every error is a problem."""

import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from service.api.catalogue import Catalogue
from service.api.problems.answering import known_errors
from service.api.routes import health
from service.auto import AUTO, CANDIDATES, PERCEPTUAL, REAL
from service.errors import StorageUnavailable, StoreUnavailable, UnknownModel
from service.formats import CODECS, SCALES, SIZES
from service.jobs.model import Options
from service.jobs.states import JobState
from service.objects import published as models
from tests.service.api.harness import Service
from tests.service.api.samples import CLIP


def publish(service: Service, name: str, version: str, card: dict[str, object], folder: Path) -> None:
    folder.mkdir()
    for file in models.FILES:
        (folder / file).write_bytes(json.dumps(card).encode())
    models.publish(service.storage, name, version, folder)


def test_a_process_that_lives_says_so_and_which_version_it_is(service: Service) -> None:
    answer = service.ask("GET", "/healthz")
    assert answer.json() == {"status": "ok", "version": health.VERSION}


def test_ready_means_that_store_and_storage_answer(service: Service) -> None:
    assert service.ask("GET", "/readyz").json() == {"ready": True, "store": "ok", "storage": "ok"}


def test_not_ready_says_what_is_missing(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def down() -> None:
        raise StoreUnavailable("redis-7.internal refuses")

    monkeypatch.setattr(service.store, "ping", down)
    answer = service.ask("GET", "/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "store": "store_unavailable", "storage": "ok"}


def test_a_store_that_hangs_is_not_ready_either(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PING_S_MAX", 0.05)
    monkeypatch.setattr(service.storage, "ping", lambda: time.sleep(0.3))
    answer = service.ask("GET", "/readyz")
    assert (answer.status_code, answer.json()["storage"]) == (503, "does not answer")


def test_metrics_are_readable_by_prometheus(service: Service) -> None:
    answer = service.ask("GET", "/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert "# TYPE upscaled_requests_total counter" in answer.text


def test_requests_are_counted_by_route_and_never_by_path(service: Service) -> None:
    service.ask("GET", "/jobs/secret-id")
    service.ask("GET", "/wp-admin.php")
    text = service.ask("GET", "/metrics").text
    assert 'upscaled_requests_total{method="GET",route="/jobs/{job_id}",status="404"}' in text
    assert 'upscaled_requests_total{method="GET",route="none",status="404"}' in text
    assert "secret-id" not in text
    assert "wp-admin" not in text


def test_bicubic_is_offered_before_anything_was_published(service: Service) -> None:
    (only,) = service.ask("GET", "/models").json()["models"]
    assert (only["name"], only["default_for"]) == ("bicubic", ["video", "animation", "image"])
    assert only["summary"]


def test_a_published_model_is_offered_with_its_card(service: Service, tmp_path: Path) -> None:
    publish(
        service,
        "tecogan",
        "abc123",
        {"summary": "sharp", "psnr": 31.2, "known_answer": [1, 2]},
        tmp_path / "checkpoint",
    )
    service.settings = service.settings.model_copy(update={"default_video_model": "tecogan"})
    by_name = {model["name"]: model for model in service.ask("GET", "/models").json()["models"]}
    assert by_name["tecogan"] == {
        "name": "tecogan",
        "version": "abc123",
        "summary": "sharp",
        "default_for": ["video", "animation"],
        "card": {"summary": "sharp", "psnr": 31.2},
    }
    answer = service.ask("POST", "/upscale", files={"file": ("a.mp4", CLIP)}, data={"model": "tecogan"})
    assert answer.status_code == 202


def test_auto_is_offered_with_what_it_chooses_by_once_its_models_are_there(
    service: Service, tmp_path: Path
) -> None:
    service.settings = service.settings.model_copy(update={"default_image_model": AUTO})

    def post_with(name: str) -> httpx.Response:
        return service.ask("POST", "/upscale", files={"file": ("a.mp4", CLIP)}, data={"model": name})

    early = post_with(AUTO)
    assert (early.status_code, early.json()["type"]) == (503, "/problems/models_not_published")
    assert REAL in early.json()["detail"]
    for name in CANDIDATES:
        assert AUTO not in {model["name"] for model in service.ask("GET", "/models").json()["models"]}
        publish(service, name, "1", {}, tmp_path / name)
    by_name = {model["name"]: model for model in service.ask("GET", "/models").json()["models"]}
    auto = by_name[AUTO]
    assert (auto["version"], auto["default_for"]) == (None, ["image"])
    assert [each["model"] for each in auto["card"]["chooses"]] == [REAL, PERCEPTUAL]
    assert post_with(AUTO).json()["options"]["model"] == AUTO


def test_where_its_models_are_not_and_will_not_be_auto_is_unknown(service: Service) -> None:
    answer = service.ask("POST", "/upscale", files={"file": ("a.mp4", CLIP)}, data={"model": AUTO})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/unknown_model")


def test_a_bad_publish_does_not_take_the_list_down(service: Service) -> None:
    service.storage.put(models.latest_key("broken"), b"{")
    service.storage.put(models.latest_key("empty"), b'{"version": "gone"}')
    names = [model["name"] for model in service.ask("GET", "/models").json()["models"]]
    assert names == ["bicubic"]


def test_the_catalogue_looks_again_after_a_moment(service: Service, tmp_path: Path) -> None:
    now = 0.0
    catalogue = Catalogue(service.storage, clock=lambda: now)
    with pytest.raises(UnknownModel):
        catalogue.require("late")
    publish(service, "late", "1", {}, tmp_path / "checkpoint")
    now = 10.0
    catalogue.require("late")


def test_a_name_that_may_yet_be_published_is_refused_for_now_and_one_that_is_unknown_for_good(
    service: Service, tmp_path: Path
) -> None:
    service.settings = service.settings.model_copy(update={"default_video_model": "tecogan"})

    def post_with(name: str) -> httpx.Response:
        return service.ask("POST", "/upscale", files={"file": ("a.mp4", CLIP)}, data={"model": name})

    early = post_with("crisp")
    assert (early.status_code, early.json()["type"]) == (503, "/problems/models_not_published")
    assert (early.json()["field"], early.json()["value"]) == ("model", "crisp")
    assert "tecogan" in early.json()["detail"]
    assert int(early.headers["Retry-After"]) > 0
    assert post_with("bicubic").status_code == 202

    publish(service, "tecogan", "1", {}, tmp_path / "checkpoint")
    late = post_with("crisp")
    assert (late.status_code, late.json()["type"]) == (422, "/problems/unknown_model")


def test_the_root_is_a_page_for_people(service: Service) -> None:
    answer = service.ask("GET", "/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "script-src 'self';" in answer.headers["content-security-policy"]


def test_the_page_may_show_results_that_lie_in_the_storage(service: Service) -> None:
    service.settings = service.settings.model_copy(update={"s3_public_url": "https://results.example:9000"})
    policy = service.ask("GET", "/").headers["content-security-policy"]
    assert "img-src 'self' blob: https://results.example:9000; " in policy


def test_the_page_offers_what_the_options_take(service: Service) -> None:
    page, options = service.ask("GET", "/").text, Options.model_json_schema()["properties"]

    def offered(name: str) -> set[str]:
        (choices,) = re.findall(rf'<select name="{name}">(.*?)</select>', page, re.DOTALL)
        found = re.findall(r'<option(?: value="([\w=]*)")?>([^<]*)<', choices)
        return {value or text for value, text in found}

    assert offered("large") == {f"scale={scale}" for scale in SCALES} | {f"size={size}" for size in SIZES}
    assert offered("codec") == {"default", *CODECS}
    assert offered("deinterlace") == {
        "one frame of two fields",
        *options["deinterlace"]["anyOf"][0]["enum"],
    } - {"auto"}
    bounds = options["quality"]["anyOf"][0]
    assert f'min="{bounds["minimum"]}" max="{bounds["maximum"]}"' in page
    own = {"viewport", "file", "url", "large", "ask", "video-format", "picture-format"}
    assert set(re.findall(r'name="([\w-]+)"', page)) - own <= set(options)


def test_the_page_knows_which_states_are_not_over(service: Service) -> None:
    (listed,) = re.findall(r"const isOver = state => !(\[.*?\])", service.ask("GET", "/page/words.js").text)
    assert set(json.loads(listed)) == {state for state in JobState if not state.is_terminal}


class References(HTMLParser):
    """The addresses of what a page loads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found += [
            value for name, value in attributes if value and name in {"src", "href"} and tag != "a"
        ]


@pytest.mark.parametrize("path", ["/docs", "/"])
def test_pages_load_nothing_from_elsewhere(service: Service, path: str) -> None:
    page = service.ask("GET", path).text
    assert "://" not in page
    for address in References(page).found:
        assert re.match(r"/[^/]", address), address
        assert service.ask("GET", address).status_code == 200, address


def test_the_docs_bring_their_script_and_style_and_show_our_schema(service: Service) -> None:
    page = service.ask("GET", "/docs").text
    kinds = {service.ask("GET", one).headers["content-type"].split(";")[0] for one in References(page).found}
    assert kinds >= {"text/javascript", "text/css"}
    assert "url: '/openapi.json'" in page
    assert "/jobs/{job_id}/result" in service.ask("GET", "/openapi.json").json()["paths"]


# Errors


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("POST", "/jobs", 405, "method_not_allowed"),
        ("GET", "/upscale", 405, "method_not_allowed"),
        ("GET", "/jobs?limit=no", 422, "invalid_option"),
        ("GET", "/jobs/nobody", 404, "unknown_job"),
        ("GET", "/problems/nonsense", 404, "not_found"),
    ],
)
def test_every_error_is_a_problem(service: Service, method: str, path: str, status: int, code: str) -> None:
    answer = service.ask(method, path)
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, problem["status"], problem["type"]) == (status, status, f"/problems/{code}")
    assert problem["title"]
    assert problem["detail"]
    assert service.ask("GET", f"/problems/{code}").json()["type"] == problem["type"]
    if status == 405:
        assert answer.headers["allow"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/jobs/some", {"GET", "DELETE"}),
        ("POST", "/jobs/some/result", {"GET", "HEAD"}),
        ("POST", "/jobs/some/preview", {"GET", "HEAD"}),
        ("GET", "/upscale", {"POST"}),
        ("DELETE", "/jobs", {"GET"}),
    ],
)
def test_a_wrong_method_hears_all_that_are_right(
    service: Service, method: str, path: str, allowed: set[str]
) -> None:
    answer = service.ask(method, path)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == allowed


def test_a_bug_is_a_problem_that_tells_nothing_to_strangers(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_given: object, **_more: object) -> None:
        raise RuntimeError("password is 1234")

    monkeypatch.setattr(service.store, "list", broken)
    answer = service.ask("GET", "/jobs")
    assert (answer.status_code, answer.json()["type"]) == (500, "/problems/internal_error")
    assert "1234" not in answer.text
    counted = 'upscaled_requests_total{method="GET",route="/jobs",status="500"}'
    assert counted in service.ask("GET", "/metrics").text  # or the alert would not hear of it


def test_a_fault_shows_its_code_and_not_its_message(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_given: object, **_more: object) -> None:
        raise StorageUnavailable("bucket secret-bucket is away")

    monkeypatch.setattr(service.store, "list", broken)
    answer = service.ask("GET", "/jobs")
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/storage_unavailable")
    assert "secret-bucket" not in answer.text


def test_the_type_of_every_problem_can_be_looked_up(service: Service) -> None:
    for error in known_errors():
        answer = service.ask("GET", f"/problems/{error.code}")
        assert (answer.status_code, answer.json()["status"]) == (200, error.http_status), error.code


def test_no_two_errors_share_a_code() -> None:
    codes = [error.code for error in known_errors() if "code" in vars(error)]
    assert len(codes) == len(set(codes))


def test_every_problem_is_explained_where_its_type_points(service: Service) -> None:
    for error in known_errors():
        page = service.ask("GET", f"/problems/{error.code}").json()
        assert page["explanation"], error.code


# Every request


def test_a_request_has_the_id_that_its_sender_gave_it_or_one_of_ours(service: Service) -> None:
    assert (
        service.ask("GET", "/healthz", headers={"X-Request-Id": "mine-1"}).headers["x-request-id"] == "mine-1"
    )
    ours = [service.ask("GET", path).headers["x-request-id"] for path in ("/healthz", "/nowhere", "/jobs/a")]
    assert len(set(ours)) == 3
    replaced = service.ask("GET", "/healthz", headers={"X-Request-Id": "two words"}).headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{32}", replaced)


def test_lines_logged_for_a_request_carry_its_id(
    service: Service, monkeypatch: pytest.MonkeyPatch, lines
) -> None:
    written = lines("json")

    def broken(*_given: object, **_more: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(service.store, "list", broken)
    file = {"file": ("a.mp4", CLIP)}
    assert service.ask("POST", "/upscale", files=file, headers={"X-Request-Id": "up"}).status_code == 202
    fault = service.ask("GET", "/jobs", headers={"X-Request-Id": "down"})
    assert (fault.status_code, fault.headers["x-request-id"]) == (500, "down")
    requests = {line["event"]: line.get("request") for line in map(json.loads, written())}
    assert (requests["job_accepted"], requests["request_failed"]) == ("up", "down")


def test_every_route_is_at_v1_too_and_its_links_stay_there(service: Service) -> None:
    posted = service.ask("POST", "/v1/upscale", files={"file": ("a.mp4", CLIP)})
    job = posted.json()
    assert posted.headers["location"] == job["links"]["self"] == f"/v1/jobs/{job['id']}"
    (listed,) = service.ask("GET", "/v1/jobs").json()["jobs"]
    assert listed["links"]["events"] == f"/v1/jobs/{job['id']}/events"
    assert service.ask("GET", posted.headers["location"]).json()["id"] == job["id"]
    assert service.ask("GET", f"/jobs/{job['id']}").json()["links"]["self"] == f"/jobs/{job['id']}"
    assert service.ask("GET", "/v2/jobs").status_code == 404
    assert service.ask("PUT", "/v1/jobs").headers["allow"] == "GET"
    document = service.ask("GET", "/v1/openapi.json").json()
    assert document == service.ask("GET", "/openapi.json").json()
    assert document["servers"] == [{"url": "/v1"}]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("192.168.1.7", 200),
        ("api", 200),
        ("Upscaled.Example.com:443", 200),
        ("evil.example.com", 403),
        ("127.0.0.1.nip.io", 403),
        ("localhost.", 403),
    ],
)
def test_the_service_answers_to_names_that_nobody_else_can_own(
    service: Service, host: str, status: int
) -> None:
    service.settings = service.settings.model_copy(update={"host_names": "upscaled.example.com, b.example"})
    answer = service.ask("GET", "/jobs", headers={"Host": host})
    assert answer.status_code == status
    if status == 403:
        assert (answer.json()["type"], answer.json()["value"]) == ("/problems/foreign_host", host)


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 202),
        ("http://127.0.0.1:8000", 202),
        ("https://upscaled.example.com", 202),  # whose proxy calls us by another name
        ("http://127.0.0.1:9000", 403),
        ("https://evil.example.com", 403),
        ("null", 403),
    ],
)
def test_no_page_of_another_site_can_post(service: Service, origin: str | None, status: int) -> None:
    service.settings = service.settings.model_copy(update={"host_names": "upscaled.example.com"})
    headers = {"Host": "127.0.0.1:8000"} | ({"Origin": origin} if origin else {})
    answer = service.ask("POST", "/upscale", files={"file": ("a.mp4", CLIP)}, headers=headers)
    assert answer.status_code == status
    if status == 403:
        assert (answer.json()["type"], answer.json()["value"]) == ("/problems/foreign_origin", origin)
        assert service.objects() == []
    assert service.ask("GET", "/jobs", headers=headers).status_code == 200
