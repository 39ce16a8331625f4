"""What is mended in the emulator (localstack/emulator/site) answers as the emulator does by itself."""

import json
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from bench.ledger.capacity import item_bytes
from localstack.ministack import ENVIRONMENT

CONDITIONS = """
from ministack.services import dynamodb
own = dynamodb._evaluate_condition
import indexes
assert dynamodb._evaluate_condition is indexes._evaluate_condition

def outcome(evaluate, *arguments):
    try:
        return evaluate(*arguments, slot="KeyConditionExpression")
    except ValueError as error:
        return str(error)

operands = [{"S": "a"}, {"S": "b"}, {"N": "9"}, {"N": "10"}, {"N": "10.0"}]
items = [{"pk": pk, "sk": sk} for pk in operands for sk in operands] + [{"pk": {"S": "a"}}]
forms = ["pk = :a", "pk = :missing", "pk = :a AND begins_with(sk, :b)", "sk < :b", "name = :a", "pk = :a AND pk = :b"]
forms += [f"pk = :a AND sk {operator} :b" for operator in ("=", "<", "<=", ">", ">=", "<>", "~")]
outcomes = set()
for form in forms:
    for item in items:
        for a in operands:
            for b in operands:
                case = form, item, {":a": a, ":b": b}, {}
                theirs = outcome(own, *case)
                assert outcome(dynamodb._evaluate_condition, *case) == theirs, (case, theirs)
                outcomes.add(theirs)
assert {True, False} < outcomes, "and some are errors"
"""

UNPACKING = """
import sys
from pathlib import Path
import unpacking
from ministack.core import lambda_runtime
first, second = Path(sys.argv[1], "first"), Path(sys.argv[1], "second")
for folder, names in ((first, ["handler.py", "package/module.py"]), (second, [])):
    folder.mkdir()
    with lambda_runtime.zipfile.ZipFile(sys.argv[2]) as code:
        assert code.namelist() == names, "what was unpacked before was checked before"
        code.extractall(str(folder))
    assert (folder / "package" / "module.py").read_text() == "X = 1"
assert (first / "package").resolve() == (second / "package").resolve()
"""

POLLING = """
from types import SimpleNamespace
import polling
from ministack.services import lambda_svc

class Slept(BaseException):
    pass

def sleep(seconds):
    raise Slept(seconds)

lambda_svc.time = SimpleNamespace(sleep=sleep)
lambda_svc._esm_wake = SimpleNamespace(clear=lambda: None, wait=lambda seconds: True)
lambda_svc._poll_sqs = lambda_svc._poll_kinesis = lambda_svc._poll_dynamodb_streams = lambda: False
try:
    lambda_svc._poll_loop()
except Slept as slept:
    assert slept.args == (polling._GAP_S,), slept
source = {"ScalingConfig": {"MaximumConcurrency": 6}}
assert lambda_svc._sqs_esm_concurrency(source, {}, {}, {"is_fifo": True}) == 6
"""

RULES = """
from types import SimpleNamespace
import rules
from ministack.services import eventbridge, lambda_svc

account = "arn:aws:lambda:us-east-1:000000000000:function:"
configuration = {"FunctionName": "f", "FunctionArn": account + "f"}
destination = {"OnFailure": {"Destination": "a queue"}}
own = {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 300, "DestinationConfig": destination}
record = {"config": configuration, "event_invoke_config": own}
lambda_svc._get_func_record_for_ref = lambda arn: (record, configuration, "f")
lambda_svc._execution_record_for_config = lambda function, configuration: function
rules.threading = SimpleNamespace(Thread=lambda target, args, daemon: SimpleNamespace(start=lambda: target(*args)))

def outcome(*results):
    tried, failed, clock = [], [], [0]
    def execute(function, event):
        tried.append(event)
        return results[min(len(tried), len(results)) - 1]
    lambda_svc._execute_function_with_config_scope = execute
    lambda_svc._route_async_failure = lambda target, name, event, result: failed.append(target)
    sleep = lambda seconds: clock.append(clock[-1] + seconds)
    rules.time = SimpleNamespace(monotonic=lambda: clock[-1], sleep=sleep)
    eventbridge._dispatch_to_lambda(account + "f", '{"detail": 1}')
    assert tried == [{"detail": 1}] * len(tried)
    return len(tried), failed, clock[-1]

done, failed, full = {"body": None}, {"error": True}, {"error": True, "throttle": True}
assert outcome(done) == (1, [], 0)
assert outcome(failed, failed, done) == (3, [], 3)
assert outcome(failed) == (3, ["a queue"], 3)
assert outcome(full, full, full, full, done) == (5, [], 15), "no room is no failure"
tries, routed, at = outcome(full)
assert routed == ["a queue"] and 200 < at <= 300, "until it is too old"
"""

LOGS = """
import sys
from concurrent.futures import ThreadPoolExecutor
import logs
from ministack.services import cloudwatch_logs, lambda_svc

sys.setswitchinterval(1e-6)
names = ["busy", "calm"]

def end(n):
    name = names[n % 100 == 0]
    lambda_svc._emit_lambda_logs({"config": {"FunctionName": name}}, str(n), f"line {n}", False, 1)

with ThreadPoolExecutor(4) as pool:
    ended = pool.map(end, range(5_000))
    while pool._work_queue.qsize():
        assert cloudwatch_logs._describe_log_groups({})[0] == 200
    list(ended)
busy, calm = (cloudwatch_logs._log_groups[f"/aws/lambda/{name}"]["streams"] for name in names)
assert (len(busy), len(calm)) == (logs.STREAMS_MAX, 50)
last = [event["message"] for stream in list(busy.values())[-20:] for event in stream["events"]]
assert "line 4999" in last, last
"""

MEASURES = """
import measures
from ministack.services import cloudwatch, lambda_svc, sqs

def alarm(name):
    dimensions = [{"Name": "QueueName", "Value": name}]
    return {
        "AlarmName": name, "StateValue": "INSUFFICIENT_DATA", "Statistic": "Maximum", "Threshold": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold", "Namespace": "AWS/SQS", "Dimensions": dimensions,
        "MetricName": "ApproximateNumberOfMessagesVisible",
    }

for name, messages in {"empty": [], "dead": [{"visible_at": 0, "sent_at": measures.time.time() - 30}] * 2}.items():
    sqs._queues[name] = {"name": name, "messages": messages}
    cloudwatch._alarms[name] = alarm(name)
measures._KEPT = 2
for _ in range(3):
    measures.measure()
cloudwatch._evaluate_all_alarms()
assert {name: alarm["StateValue"] for name, alarm in cloudwatch._alarms.items()} == {"empty": "OK", "dead": "ALARM"}
found = {(key[1], key[2]): [point["Value"] for point in points] for key, points in cloudwatch._metrics.items()}
dims = cloudwatch._dims_key({"QueueName": "dead"})
assert found["ApproximateNumberOfMessagesVisible", dims] == [2, 2]
assert all(30 <= value < 60 for value in found["ApproximateAgeOfOldestMessage", dims])

lambda_svc._emit_lambda_logs({"config": {"FunctionName": "f"}}, "id", "line", True, 7)
lambda_svc._emit_lambda_metrics("f", duration_ms=7, error=True, throttle=False)  # the same one, by the API
lambda_svc._emit_lambda_metrics("f", duration_ms=0.0, error=False, throttle=True)
dims = cloudwatch._dims_key({"FunctionName": "f"})
found = {key[1]: [point["Value"] for point in points] for key, points in cloudwatch._metrics.items() if key[2] == dims}
assert found == {"Invocations": [1], "Errors": [1], "Throttles": [0, 1], "Duration": [7]}, found
"""

SIZES = """
import json
import sys
from ministack.services import dynamodb
for item, size_bytes in json.loads(sys.argv[1]):
    numbers = sum("N" in value for value in item.values())
    # Its digits are paired from the point on, AWS's page has them paired from the first one: a byte, where they differ.
    assert 0 <= dynamodb._item_size_bytes(item) - size_bytes <= numbers, (item, size_bytes)
"""


def in_emulator(program: str, *arguments: str, scratch: Path) -> None:
    """Run it in the emulator's environment; fail as it fails."""
    environment = os.environ | {"PYTHONPATH": str(ENVIRONMENT.parent / "site"), "TMPDIR": str(scratch)}
    command = [str(ENVIRONMENT / "bin" / "python"), "-c", program, *arguments]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.fail(done.stderr)


def test_a_key_condition_finds_what_the_emulator_finds(tmp_path: Path) -> None:
    in_emulator(CONDITIONS, scratch=tmp_path)


def test_a_lane_does_not_wait_for_what_goes_on_in_another(tmp_path: Path) -> None:
    in_emulator(POLLING, scratch=tmp_path)


def test_a_zip_is_unpacked_once_and_each_worker_has_it(tmp_path: Path) -> None:
    code = tmp_path / "code.zip"
    with zipfile.ZipFile(code, "w") as made:
        made.writestr("handler.py", "")
        made.writestr("package/module.py", "X = 1")
    in_emulator(UNPACKING, str(tmp_path), str(code), scratch=tmp_path)
    assert len(list((tmp_path / "unpacked").iterdir())) == 1


def test_an_event_whose_function_fails_is_tried_again_as_lambda_does(tmp_path: Path) -> None:
    in_emulator(RULES, scratch=tmp_path)


def test_logs_are_read_while_they_are_written_and_end_somewhere(tmp_path: Path) -> None:
    in_emulator(LOGS, scratch=tmp_path)


def test_queues_and_functions_are_measured_and_an_alarm_is_of_one_queue(tmp_path: Path) -> None:
    in_emulator(MEASURES, scratch=tmp_path)


def test_an_item_has_the_size_that_the_ledger_counts(tmp_path: Path) -> None:
    values = [
        *({"S": text} for text in ("", "room:a", "ü€😀", "x" * 2_000)),
        *({"N": number} for number in ("0", "7", "27", "127", "-127", "1800000000000", "1800000123457", "0.0025")),
        *(
            {"BOOL": True},
            {"NULL": True},
            {"L": []},
            {"L": [{"S": "ab"}, {"BOOL": False}]},
            {"M": {"key": {"S": "ab"}}},
        ),
    ]
    items: list[dict[str, object]] = [{"pk": {"S": "a"}, "näme": value} for value in values]
    in_emulator(SIZES, json.dumps([(item, item_bytes(item)) for item in items]), scratch=tmp_path)
