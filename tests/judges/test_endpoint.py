from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from faults import FaultServer

from judges.endpoint import CallFailed, Client, Decoding, Endpoint, read_reply, retry_after
from judges.problems import BudgetReached, JudgingError
from judges.prompts import Prompt
from judges.spending import Budget, Prices, Spending

KEY = "sk-very-secret-key"
PROMPT = Prompt("Judge.", "안녕 🙂 [[A]]?")


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("TEST_KEY", KEY)


def client(server, spending=None, **options):
    options = {"timeout_seconds": 3.0, "first_wait_seconds": 0.01, "tries": 3, **options}
    return Client(Endpoint("judge-1", server.url, "TEST_KEY", **options), spending)


def complete(some):
    return some.complete(some.endpoint.body(PROMPT))


def test_a_reply_is_what_the_server_said_across_chunk_borders():
    message = "한국어 답변이 더 낫다 🙂 " * 40 + "[[B]]"
    with FaultServer(message=lambda user: message) as server:
        some = client(server, decoding=Decoding(temperature=0.0, max_tokens=7, seed=3, extra={"top_p": 1.0}))
        reply = complete(some)
        (body,) = server.bodies
    assert reply.message == message
    assert (reply.model, reply.fingerprint, reply.finish) == ("judge-2026-01-01", "fp_1", "stop")
    assert (reply.input_tokens, reply.output_tokens) == (100, 20)
    assert body == {
        "authorization": f"Bearer {KEY}",
        "model": "judge-1",
        "messages": [{"role": "system", "content": "Judge."}, {"role": "user", "content": PROMPT.user}],
        "temperature": 0.0,
        "max_tokens": 7,
        "seed": 3,
        "top_p": 1.0,
    }


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("429", "HTTP 429: "),
        ("429 after", "HTTP 429: "),
        ("500", "HTTP 500: "),
        ("503", "HTTP 503: "),
        ("truncated", "the reply is no JSON"),
        ("schema", "the reply has not the shape of a chat completion"),
        ("no choices", "the reply has no choices"),
        ("no message", "the reply has no message"),
        ("no utf-8", "the reply is no JSON"),
    ],
)
def test_a_fault_that_stays_is_a_failed_call_with_its_reason(fault, reason):
    with FaultServer(rate=1.0, faults=(fault,)) as server:
        with pytest.raises(CallFailed, match=f"^3 tries failed; the last: {reason}"):
            complete(client(server))
        assert server.injected == {fault: 3}


def test_a_slow_server_is_not_waited_for():
    with FaultServer(rate=1.0, faults=("slow",)) as server, pytest.raises(CallFailed) as raised:
        complete(client(server, timeout_seconds=0.1, tries=1))
    assert str(raised.value) == "1 tries failed; the last: no answer within 0.1 seconds"


def test_a_cut_connection_after_an_answer_fails_its_call_only():
    with FaultServer() as server:
        some = client(server)
        complete(some)
        server.rate, server.faults = 1.0, ("cut",)
        with pytest.raises(CallFailed, match=r"^3 tries failed; the last: the connection failed \("):
            some.complete(some.endpoint.body(Prompt("Judge.", "another")))


def test_one_good_try_is_enough():
    with FaultServer() as server:
        server.fault_of = lambda digest, number: ("500", "truncated", None)[number]
        assert complete(client(server)).finish == "stop"
        assert sum(server.requests.values()) == 3


def test_retry_after_holds_back_every_thread():
    with FaultServer() as server:
        server.fault_of = lambda digest, number: "429 after" if number == 0 else None
        some = client(server)
        began = time.monotonic()
        complete(some)
        assert time.monotonic() - began >= 0.05
        assert some._not_before >= began + 0.05


def test_a_wait_beyond_the_limit_is_not_waited():
    with FaultServer(rate=1.0, faults=("429 after",)) as server:
        with pytest.raises(CallFailed, match=r"it asks to wait 0.05 seconds, and the limit is 0.01"):
            complete(client(server, longest_wait_seconds=0.01))
        assert sum(server.requests.values()) == 1


def test_retry_after_is_seconds_or_a_date():
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < retry_after({"retry-after": later}) <= 30
    assert retry_after({"retry-after": "-1"}) == 0.0
    assert retry_after({}) is None


def test_the_budget_in_calls_counts_every_try():
    with FaultServer(rate=1.0, faults=("500",)) as server:
        some = client(server, Spending(Budget(calls=2)), tries=5)
        with pytest.raises(BudgetReached, match="The budget of 2 calls is spent"):
            complete(some)
        assert sum(server.requests.values()) == 2


def test_the_budget_in_money_is_never_passed():
    prices = Prices(input=1000.0, output=1000.0)
    with FaultServer() as server:
        spending = Spending(Budget(dollars=3.0), prices)
        some = client(server, spending, decoding=Decoding(max_tokens=1000))
        with pytest.raises(BudgetReached):
            all(complete(some) for _ in range(100))
        calls = sum(server.requests.values())
    assert spending.dollars == pytest.approx(calls * 0.12)
    assert 3.0 - 1.3 < spending.dollars <= 3.0


def test_a_lost_reply_is_charged_and_a_refused_one_is_not():
    for fault, charged in (("truncated", True), ("500", False)):
        with FaultServer(rate=1.0, faults=(fault,)) as server:
            spending = Spending(Budget(dollars=100.0), Prices(1000.0, 1000.0))
            with pytest.raises(CallFailed):
                complete(client(server, spending))
            assert (spending.dollars > 0) is charged


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (401, "refused (HTTP 401): Error code: 401"),
        (404, "Is 'judge-1' the name of a model there, and is the base URL right?"),
        (403, "Is the key in TEST_KEY the right one?"),
    ],
)
def test_what_no_call_can_mend_stops_the_run_without_telling_the_key(status, sentence):
    with FaultServer(rate=1.0, faults=("500",)) as server:
        handler = server.server.RequestHandlerClass
        handler.answer = lambda self, *_: self.send(status, b'{"error": {"message": "bad key %s"}}' % KEY.encode())
        with pytest.raises(JudgingError, match=re.escape(sentence)) as raised:
            complete(client(server))
    assert KEY not in str(raised.value)
    assert "(key)" in str(raised.value)


def test_a_spent_quota_is_not_waited_for():
    with FaultServer() as server:
        handler = server.server.RequestHandlerClass
        handler.answer = lambda self, *_: self.send(429, b'{"error": {"message": "pay", "code": "insufficient_quota"}}')
        with pytest.raises(JudgingError, match=r"the account's quota is spent \(HTTP 429\): .*pay"):
            complete(client(server))
        assert sum(server.requests.values()) == 1


def test_a_lone_surrogate_of_an_answer_is_sent_as_a_question_mark():
    with FaultServer() as server:
        some = client(server)
        some.complete(some.endpoint.body(Prompt("Judge.", "broken \ud800 text")))
        assert server.bodies[0]["messages"][1]["content"] == "broken ? text"


def test_a_request_the_server_rejects_fails_its_call_only():
    with FaultServer() as server:
        handler = server.server.RequestHandlerClass
        handler.answer = lambda self, *_: self.send(400, b'{"error": {"message": "context too long"}}')
        with pytest.raises(CallFailed, match=r"^HTTP 400: .*context too long"):
            complete(client(server))
        assert sum(server.requests.values()) == 1


def test_a_server_that_is_not_there_is_said():
    with FaultServer() as server:
        url = server.url
    some = Client(Endpoint("m", url, "TEST_KEY", tries=2, first_wait_seconds=0.01))
    with pytest.raises(JudgingError, match=r"/v1 cannot be reached: the connection failed .* Is the server running"):
        complete(some)


def test_a_missing_key_names_its_variable(monkeypatch):
    monkeypatch.delenv("TEST_KEY")
    with pytest.raises(JudgingError, match=r"variable TEST_KEY is not set.*export TEST_KEY="):
        Client(Endpoint("m", "http://127.0.0.1:1/v1", "TEST_KEY"))


def test_addresses_are_recorded_without_secrets():
    assert Endpoint("m", "https://me:word@host:8/v1/?token=x").address == "https://host:8/v1"


def test_an_empty_message_is_a_reply():
    reply = read_reply(b'{"choices": [{"message": {"content": null}}], "usage": null, "model": "m"}')
    assert (reply.message, reply.model, reply.finish, reply.input_tokens) == ("", "m", None, None)


def test_the_date_of_a_shutdown_is_read_where_the_endpoint_has_one():
    with FaultServer() as server:
        assert client(server).shutdown_date() is None
        server.shutdown_date = "2026-12-31"
        assert client(server).shutdown_date() == "2026-12-31"
        server.shutdown_date = 1798675200
        assert client(server).shutdown_date() == "2026-12-31"
        assert server.requests.total() == 0
    assert client(server).shutdown_date() is None


def test_requests_in_flight_are_limited_however_many_threads_ask():
    from concurrent.futures import ThreadPoolExecutor

    running, most = 0, 0

    def message(user):
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.02)
        running -= 1
        return "[[A]]"

    with FaultServer(message=message) as server, ThreadPoolExecutor(8) as pool:
        some = Client(client(server).endpoint, concurrency=2)
        list(pool.map(lambda _: complete(some), range(12)))
    assert most == 2
