"""Log lines as machines and as people read them."""

import io
import json
import logging
import threading

from service.log import bind

log = logging.getLogger("service.test")


def test_an_event_is_one_json_object_on_one_line(lines):
    read = lines("json")
    log.info("segment_encoded", extra={"segment": 7, "wall_ms": 12.5, "name_of_file": "a\nb", "path": io})
    [line] = read()
    event = json.loads(line)
    assert event["event"] == "segment_encoded"
    assert (event["level"], event["logger"]) == ("info", "service.test")
    assert (event["segment"], event["wall_ms"], event["name_of_file"]) == (7, 12.5, "a\nb")
    assert event["time"].endswith("+00:00")


def test_bound_fields_are_on_every_line_inside_and_on_none_outside(lines):
    read = lines("json")
    with bind(job="abc"):
        with bind(step="segment/1"):
            log.info("inner")
        logging.getLogger("some.library").warning("outer %s", "text")
    log.info("outside")
    inner, outer, outside = map(json.loads, read())
    assert (inner["job"], inner["step"]) == ("abc", "segment/1")
    assert (outer["job"], outer["event"]) == ("abc", "outer text")
    assert "step" not in outer
    assert "job" not in outside


def test_a_field_given_on_the_spot_wins_over_a_bound_one(lines):
    read = lines("json")
    with bind(step="plan"):
        log.info("moved", extra={"step": "assemble"})
    assert json.loads(read()[0])["step"] == "assemble"


def test_threads_do_not_see_each_others_jobs(lines):
    read = lines("json")
    barrier = threading.Barrier(4)

    def work(number):
        with bind(job=number):
            barrier.wait()
            log.info("worked", extra={"expected": number})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = [json.loads(line) for line in read()]
    assert len(events) == 4
    assert all(event["job"] == event["expected"] for event in events)


def test_an_exception_stays_within_its_line(lines):
    read = lines("json")
    try:
        raise ValueError("broken")
    except ValueError:
        log.exception("request_failed")
    [line] = read()
    assert "ValueError: broken" in json.loads(line)["exception"]


def test_people_get_event_and_fields_without_braces(lines):
    read = lines("human")
    with bind(job="abc"):
        log.warning("lease_not_renewed", extra={"step": "plan"})
    [line] = read()
    assert line.endswith("warning  lease_not_renewed step=plan job=abc")


def test_a_stream_that_is_no_terminal_gets_json(lines):
    read = lines("auto")
    log.info("started")
    assert json.loads(read()[0])["event"] == "started"


def test_debug_lines_are_left_out(lines):
    read = lines("json")
    log.debug("detail")
    assert read() == []
