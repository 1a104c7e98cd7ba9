"""What a gate asks: rules from a TOML file, every mistake of which is told at once.

alpha = 0.025               inconclusive = "block" or "pass"      max_age_days = 180
max_unmatched = 0.01        stale = "warn" or "block"

[[rule]]
metric = "nats_per_token"   # what is bounded
task = "*"                  # globs; `method` meets the method's name or its label, such as "awq 4-bit"
language = "*"
method = "*"
against = "baseline"        # or "none": the original model; or "anchor": the change against `none` accepted first
relative_margin = 0.01      # or margin, in the metric's unit
gap = false                 # true: what a language suffers more than English
tier = "block"              # or "warn", "info"
minimum = 8                 # fewer paired passages are inconclusive
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from results.folds import EXACT, EXACT_UNITS, FOLDS, NEVER
from results.metric import METRICS

DEFAULT = Path(__file__).parent / "baselines" / "policy.toml"
ENGLISH = "en"


class PolicyError(ValueError):
    """A policy with mistakes; the message tells all of them."""


@dataclass(frozen=True)
class Rule:
    metric: str
    against: Literal["baseline", "none", "anchor"] = "baseline"
    margin: float | None = None
    relative_margin: float | None = None
    name: str = ""
    task: str = "*"
    language: str = "*"
    method: str = "*"
    gap: bool = False
    better: Literal["lower", "higher", ""] = ""
    """Which direction is good; from the metric's own table where it is not given."""
    tier: Literal["block", "warn", "info"] = "block"
    test: Literal["auto", "paired", "exact"] = "auto"
    """``auto``: paired by item where the metric has values per item, else the two numbers as they are."""
    minimum: int = 8
    """Fewer paired passages are inconclusive."""
    max_errors: float = 1.0
    """A larger share of failed judgements leaves the cell uncompared."""
    required: bool = True
    """False: a rule that meets no cell is left out. True: it never passes."""

    @property
    def limit(self) -> float:
        limit = self.margin if self.relative_margin is None else self.relative_margin
        assert limit is not None  # a parsed rule has one of the two
        return limit

    @property
    def relative(self) -> bool:
        return self.relative_margin is not None

    @property
    def is_paired(self) -> bool:
        return self.test != "exact" and self.metric in FOLDS

    @property
    def sign(self) -> float:
        better = self.better or METRICS[self.metric].better
        return 1.0 if better == "lower" else -1.0

    @property
    def title(self) -> str:
        what = f"gap of {self.metric}" if self.gap else self.metric
        return self.name or f"{what} against {self.against}"

    def meets(self, task: str, language: str, *methods: str) -> bool:
        if self.gap and language in (ENGLISH, "und"):
            return False
        return (
            _fits(task, self.task)
            and _fits(language, self.language)
            and any(_fits(method, self.method) for method in methods)
        )


@lru_cache(maxsize=4096)
def _fits(name: str, pattern: str) -> bool:
    """Thousands of cells have few names, and every rule asks each of them."""
    return fnmatchcase(name, pattern)


@dataclass(frozen=True)
class Policy:
    rules: tuple[Rule, ...]
    name: str = ""
    alpha: float = 0.025
    inconclusive: Literal["block", "pass"] = "block"
    stale: Literal["warn", "block"] = "warn"
    max_age_days: float | None = 180.0
    max_unmatched: float = 0.01

    @property
    def remarks(self) -> list[str]:
        """What a careful reader would add."""
        blocking = [rule for rule in self.rules if rule.tier == "block" and rule.is_paired]
        if any(rule.against == "baseline" for rule in blocking) and not any(
            rule.against in ("anchor", "none") for rule in blocking
        ):
            return [
                "no blocking rule looks back further than the last baseline: repeated updates inside the margin may "
                'creep; add a rule with against = "anchor" or "none"'
            ]
        return []


def read_policy(path: Path | None = None) -> Policy:
    """A policy file; the one that is shipped where none is named. Raises PolicyError."""
    path = path or DEFAULT
    try:
        mapping = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PolicyError(f"There is no policy file '{path}'. Without --policy the default one is used.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"'{path}' cannot be read as a policy: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"'{path}' is not TOML: {error}.") from None
    return parse_policy(mapping, str(path))


def parse_policy(mapping: Mapping[str, Any], title: str = "the policy") -> Policy:
    """Raises PolicyError with all mistakes together."""
    problems: list[str] = []
    tables = mapping.get("rule", [])
    if not isinstance(tables, list) or not all(isinstance(table, Mapping) for table in tables):
        problems.append("rules are written as [[rule]] tables.")
        tables = []
    plain = {key: value for key, value in mapping.items() if key != "rule"}
    general = _fields(Policy, plain, "", problems, left_out=("rules",))
    rules = []
    for number, table in enumerate(tables, start=1):
        where = f"rule {number}" + (f" ({table['name']})" if isinstance(table.get("name"), str) else "")
        before = len(problems)
        values = _fields(Rule, table, f"{where}: ", problems)
        if len(problems) == before:
            rule = Rule(**values)
            problems += [f"{where}: {problem}" for problem in _wrong(rule)]
            rules.append((where, rule))
    problems += [] if tables or problems else ["it has no [[rule]], so nothing would be gated."]
    problems += _between(rules)
    policy = Policy(tuple(rule for _, rule in rules), **general)
    if not 0 < policy.alpha < 0.5:
        problems.append(f"alpha is {policy.alpha:g}, and an error rate lies between 0 and 0.5.")
    if not 0 <= policy.max_unmatched < 1:
        problems.append(f"max_unmatched is {policy.max_unmatched:g}, and it is a share from 0 to below 1.")
    if problems:
        told = problems[0] if len(problems) == 1 else "".join(f"\n  - {problem}" for problem in problems)
        raise PolicyError(f"{title}: {told}" if len(problems) == 1 else f"{title} has {len(problems)} mistakes:{told}")
    return policy


def near(word: str, options: Sequence[str]) -> str:
    found = get_close_matches(word.lower(), options, n=1, cutoff=0.6)
    return f" Did you mean '{found[0]}'?" if found else ""


CHOICES: dict[str, tuple[str, ...]] = {
    "against": ("baseline", "none", "anchor"),
    "tier": ("block", "warn", "info"),
    "test": ("auto", "paired", "exact"),
    "better": ("lower", "higher"),
    "inconclusive": ("block", "pass"),
    "stale": ("warn", "block"),
}
KINDS: dict[str, tuple[type, str]] = {
    "gap": (bool, "true or false"),
    "required": (bool, "true or false"),
    "minimum": (int, "a whole number"),
}
NUMBERS = ("margin", "relative_margin", "alpha", "max_age_days", "max_unmatched", "max_errors")


def _fields(
    kind: type, table: Mapping[str, Any], where: str, problems: list[str], left_out: Sequence[str] = ()
) -> dict[str, Any]:
    """The values of a table for a dataclass, each checked for what it may be."""
    known = {one.name: one for one in fields(kind) if one.name not in left_out}
    found = {}
    for key, value in table.items():
        if key not in known:
            problems.append(f"{where}there is no key '{key}'.{near(key, list(known))} Known: {', '.join(known)}.")
        elif key in CHOICES and value not in CHOICES[key]:
            guess = near(value, CHOICES[key]) if isinstance(value, str) else ""
            problems.append(f"{where}{key} is {value!r}, and it is one of {', '.join(CHOICES[key])}.{guess}")
        elif key in NUMBERS and (isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value)):
            problems.append(f"{where}{key} is {value!r}, and it is a number.")
        elif key in KINDS and (not isinstance(value, KINDS[key][0]) or (KINDS[key][0] is int and value is True)):
            problems.append(f"{where}{key} is {value!r}, and it is {KINDS[key][1]}.")
        elif key not in CHOICES and key not in NUMBERS and key not in KINDS and not isinstance(value, str):
            problems.append(f"{where}{key} is {value!r}, and it is text.")
        else:
            found[key] = value
    for name, one in known.items():
        if one.default is MISSING and name not in table:
            problems.append(f"{where}it names no {name}.")
    return found


def _wrong(rule: Rule) -> list[str]:
    """What one rule says that cannot be meant."""
    found = []
    if rule.metric not in METRICS:
        names = ", ".join(METRICS)
        return [f"there is no metric '{rule.metric}'.{near(rule.metric, list(METRICS))} Known: {names}."]
    own = METRICS[rule.metric].better
    if own == "neither" and not rule.better:
        found.append(f'{rule.metric} is neither better low nor high by itself; say better = "lower" or "higher".')
    if rule.better and own not in ("neither", rule.better):
        found.append(f"better is '{rule.better}', but {rule.metric} is better {own}.")
    margins = [margin for margin in (rule.margin, rule.relative_margin) if margin is not None]
    if len(margins) != 1:
        said = "both margin and relative_margin are given" if margins else "it has no margin"
        found.append(f"{said}; give one of margin (in the metric's unit) and relative_margin (0.01 is 1%).")
    elif not 0 <= margins[0] < math.inf:
        found.append(f"the margin is {margins[0]:g}, and a margin is 0 or more: how much worse is still accepted.")
    if rule.test == "paired" and rule.metric not in FOLDS:
        found.append(f"{rule.metric} has no value per item, so it cannot be paired; leave test out.")
    is_exact = rule.metric in FOLDS or rule.metric in EXACT or METRICS[rule.metric].unit in EXACT_UNITS
    if rule.metric in NEVER:
        found.append(f"{rule.metric} is told and never gates, for length is a result of compression; take win_rate.")
    elif rule.test != "exact" and not is_exact:
        found.append(f'{rule.metric} scatters and has no value per item; test = "exact" compares it as it is.')
    if rule.against == "anchor" and not rule.is_paired:
        found.append(
            f'an anchor is kept item by item, and {rule.metric} is compared as it is; say "baseline" or "none".'
        )
    if rule.gap and not rule.is_paired:
        found.append(f"a gap is paired by parallel items, and {rule.metric} has no values per item.")
    if rule.gap and rule.language == ENGLISH:
        found.append("a gap is what another language suffers more than English; its language cannot be 'en'.")
    if rule.minimum < 2:
        found.append(f"minimum is {rule.minimum}, and one passage tells nothing of the spread; 2 or more.")
    if not 0 <= rule.max_errors <= 1:
        found.append(f"max_errors is {rule.max_errors:g}, and it is a share from 0 to 1.")
    return found


def _between(rules: Sequence[tuple[str, Rule]]) -> list[str]:
    """Rules that contradict each other, and gap rules without an English rule beside them."""
    found = []
    seen: dict[tuple[object, ...], tuple[str, Rule]] = {}
    for where, rule in rules:
        key = (rule.metric, rule.against, rule.task, rule.language, rule.method, rule.gap, rule.relative, rule.tier)
        if key in seen:
            other, first = seen[key]
            same = (rule.limit, rule.test, rule.minimum) == (first.limit, first.test, first.minimum)
            how = "say the same twice" if same else "contradict each other: one selection, two demands"
            found.append(f"{other} and {where} {how}; keep one.")
        seen.setdefault(key, (where, rule))
    order = {"info": 0, "warn": 1, "block": 2}
    for where, rule in rules:
        beside = (
            other
            for _, other in rules
            if not other.gap
            and other.against == rule.against
            and order[other.tier] >= order[rule.tier]
            and _fits(ENGLISH, other.language)
            and all(getattr(other, name) in ("*", getattr(rule, name)) for name in ("task", "method"))
            and _bounds(other, rule)
        )
        if rule.gap and next(beside, None) is None:
            found.append(
                f"{where}: a gap rule needs an English rule beside it, for harming English shrinks the gap; add a rule "
                f'with metric = "{rule.metric}", against = "{rule.against}", language = "en".'
            )
    return found


def _bounds(english: Rule, gap: Rule) -> bool:
    """Whether a rule on English bounds what the gap is made of: the same sums under another denominator do."""
    return FOLDS[english.metric].numerator == FOLDS[gap.metric].numerator if english.metric in FOLDS else False
