"""Every alarm tells the topic; every alarm of its own has a page, and every page an alarm."""

import re
from pathlib import Path

from tests.infra.template import Synthesised

_PAGES = Path("docs/runbooks")


def test_every_alarm_tells_the_topic(prod: Synthesised) -> None:
    (topic,) = prod.of_type("AWS::SNS::Topic")
    alarms = prod.of_type("AWS::CloudWatch::Alarm").values()
    assert alarms and all(alarm.get("AlarmActions") == [{"Ref": topic}] for alarm in alarms)


def test_alarms_and_pages_go_together(prod: Synthesised) -> None:
    told = [alarm["AlarmDescription"] for alarm in prod.of_type("AWS::CloudWatch::Alarm").values()]
    named = {match[1] for text in told if (match := re.search(r"docs/runbooks/([a-z-]+)\.md", text))}
    pages = {page.stem for page in _PAGES.glob("*.md")} - {"README"}
    assert named == pages
    assert set(re.findall(r"\(([a-z-]+)\.md\)", (_PAGES / "README.md").read_text())) == pages
