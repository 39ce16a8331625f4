"""The proxy puts in the way of boto3 what AWS may put there, and nothing else."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from tests.torture.proxy import FAULTS, Chance, Fault, ProxyProcess, shares


class Aws:
    """Stands where the emulator stands: answers every call with an empty object, and remembers it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.news = threading.Condition()
        aws = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                with aws.news:
                    aws.calls.append(self.headers["X-Amz-Target"].partition(".")[2])
                    aws.news.notify_all()
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def aws() -> Iterator[Aws]:
    aws = Aws()
    yield aws
    aws.server.shutdown()
    aws.server.server_close()


@pytest.fixture
def proxy(aws: Aws) -> Iterator[ProxyProcess]:
    with ProxyProcess(seed=1) as proxy:
        proxy.configure(upstream=aws.origin)
        yield proxy


def client(service: str, proxy: ProxyProcess, *, attempts: int = 1) -> Any:
    config = Config(read_timeout=0.3, retries={"mode": "standard", "total_max_attempts": attempts})
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(
        service,  # type: ignore[call-overload]  # the stubs want a literal
        endpoint_url=proxy.endpoint,
        region_name="us-east-1",
        config=config,
        **keys,
    )


def always(proxy: ProxyProcess, fault: Fault) -> None:
    proxy.configure(one_in=1, faults=[fault])


def put(dynamodb: Any) -> None:
    dynamodb.put_item(TableName="t", Item={"pk": {"S": "x"}})


def test_without_faults_calls_pass(aws: Aws, proxy: ProxyProcess) -> None:
    dynamodb = client("dynamodb", proxy)
    for _ in range(3):
        put(dynamodb)
    assert aws.calls == ["PutItem"] * 3
    assert proxy.counts() == {"calls": {}, "hits": {}}


@pytest.mark.parametrize(
    ("service", "call", "code"),
    [
        ("dynamodb", put, "ProvisionedThroughputExceededException"),
        ("sqs", lambda sqs: sqs.send_message(QueueUrl="http://q", MessageBody="x"), "ThrottlingException"),
        ("secretsmanager", lambda secrets: secrets.get_secret_value(SecretId="s"), "ThrottlingException"),
    ],
)
def test_throttling_is_told_as_the_service_tells_it(
    aws: Aws, proxy: ProxyProcess, service: str, call: Any, code: str
) -> None:
    always(proxy, "throttled")
    with pytest.raises(ClientError) as refused:
        call(client(service, proxy))
    assert refused.value.response["Error"]["Code"] == code
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert aws.calls == []


def test_throttled_batches_hand_back_what_they_did_not_do(aws: Aws, proxy: ProxyProcess) -> None:
    always(proxy, "throttled")
    items = {"t": [{"PutRequest": {"Item": {"pk": {"S": "x"}}}}]}
    assert client("dynamodb", proxy).batch_write_item(RequestItems=items)["UnprocessedItems"] == items
    entry = {"Source": "s", "DetailType": "d", "Detail": "{}"}
    assert client("events", proxy).put_events(Entries=[entry])["FailedEntryCount"] == 1
    assert aws.calls == []


def test_a_failure_is_a_500_and_boto3_tries_again(aws: Aws, proxy: ProxyProcess) -> None:
    always(proxy, "failed")
    with pytest.raises(ClientError) as failed:
        put(client("dynamodb", proxy, attempts=2))
    assert failed.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert proxy.counts() == {"calls": {"dynamodb": 2}, "hits": {"dynamodb": {"failed": 2}}}
    assert aws.calls == []


def test_of_calls_that_time_out_some_are_carried_out_all_the_same(aws: Aws, proxy: ProxyProcess) -> None:
    always(proxy, "timed out")
    dynamodb = client("dynamodb", proxy)
    for _ in range(12):
        with pytest.raises(ReadTimeoutError):
            put(dynamodb)
    with aws.news:
        assert aws.news.wait_for(lambda: aws.calls, timeout=10)
    proxy.configure(one_in=0)
    client("dynamodb", proxy).get_item(TableName="t", Key={"pk": {"S": "x"}})
    assert 0 < aws.calls.count("PutItem") < 12


def test_a_slow_call_is_carried_out(aws: Aws, proxy: ProxyProcess) -> None:
    always(proxy, "slowed")
    put(client("dynamodb", proxy, attempts=20))
    assert "PutItem" in aws.calls


def test_an_answer_may_be_lost_though_the_call_was_carried_out(aws: Aws, proxy: ProxyProcess) -> None:
    always(proxy, "answer lost")
    with pytest.raises(ConnectionClosedError):
        put(client("dynamodb", proxy))
    assert aws.calls == ["PutItem"]


def test_the_same_seed_gives_the_same_fates() -> None:
    one, again, other = Chance(1, 10), Chance(1, 10), Chance(2, 10)
    fates = [one.next("dynamodb") for _ in range(200)]
    again.next("sqs")  # other services' calls change nothing
    assert [again.next("dynamodb") for _ in range(200)] == fates
    assert [other.next("dynamodb") for _ in range(200)] != fates


def test_each_fault_hits_one_in_so_many_calls() -> None:
    chance = Chance(1, 50)
    for _ in range(20_000):
        chance.next("dynamodb")
    counts = json.loads(json.dumps(chance.to_wire()))
    assert counts["calls"] == {"dynamodb": 20_000}
    assert list(shares(counts)) == [(fault, 400, 0.02) for fault in FAULTS]
