"""A gate as JUnit XML: one test case for each check, one suite for each rule, in the dialect that CI systems read.

A blocking check that failed is a failure, one without a comparison an error. What does not block is skipped with its
sentence, so that it is seen and stops nothing.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree as xml

from reports.gate_text import sentence
from results.gate import Check, Gate


def junit(gate: Gate, seconds: float = 0.0) -> bytes:
    """The whole file, UTF-8."""
    suites: dict[str, list[Check]] = {}
    for check in gate.checks:
        suites.setdefault(f"{check.rule.tier}: {check.rule.title}", []).append(check)
    root = xml.Element("testsuites", name="langgap gate")
    totals = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for name, checks in suites.items():
        suite = xml.SubElement(root, "testsuite", name=_clean(name))
        counts = {"tests": len(checks), "failures": 0, "errors": 0, "skipped": 0}
        for check in checks:
            kind = _case(suite, check, gate)
            if kind:
                counts[kind] += 1
        for key, count in counts.items():
            suite.set(key, str(count))
            totals[key] += count
        suite.set("time", "0")
    for key, count in totals.items():
        if key != "skipped":  # the schema of Jenkins knows it on a suite only
            root.set(key, str(count))
    root.set("time", f"{seconds:.3f}")
    xml.indent(root)
    return xml.tostring(root, encoding="utf-8", xml_declaration=True)


def _case(suite: xml.Element, check: Check, gate: Gate) -> str:
    """Add one test case; which count it adds to, empty for a pass."""
    place = check.place
    case = xml.SubElement(
        suite,
        "testcase",
        classname=_clean(f"{check.rule.title}.{place.task}"),
        name=_clean(f"{place.variant}, {place.language}"),
        time="0",
    )
    told = _clean(sentence(check))
    if check.state == "pass":
        xml.SubElement(case, "system-out").text = told
        return ""
    blocks = check.rule.tier == "block"
    if blocks and check.state == "missing":
        xml.SubElement(case, "error", type="missing", message=told)
        return "errors"
    if blocks and (check.state == "fail" or gate.policy.inconclusive == "block"):
        xml.SubElement(case, "failure", type=check.state, message=told).text = told
        return "failures"
    xml.SubElement(case, "skipped", message=_clean(f"{check.state}, {check.rule.tier}: {told}"))
    return "skipped"


def _clean(text: str) -> str:
    """Text without the characters that XML cannot hold, however they are escaped."""
    return re.sub("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)
