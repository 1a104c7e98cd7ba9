"""What a sweep is asked to do, as plain data: every default filled in, every grid spread out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from results.cell import Scalar, digest_of


@dataclass(frozen=True)
class CalibrationSpec:
    """Which calibration text, how much of it, and in which languages."""

    corpus: str = "bundled"
    sequences: int = 8
    length: int = 512
    """Tokens per sequence."""
    languages: Mapping[str, float] | None = None
    """Weight of each language, in any unit; None: equal shares of the sweep's languages."""
    firing: tuple[str, ...] | None = None
    """Languages in which neurons are counted besides, on text of `harness.firing`; None: the method counts none."""

    def weights(self, sweep_languages: Sequence[str]) -> dict[str, float]:
        """Language -> share, summing to 1, in the order given; languages of weight 0 are left out."""
        asked = dict(self.languages) if self.languages else dict.fromkeys(sweep_languages, 1.0)
        total = sum(asked.values())
        return {language: weight / total for language, weight in asked.items() if weight > 0}

    @cached_property
    def key(self) -> str:
        """Digest of the specification, under which a plan looks up its fingerprint."""
        return digest_of(_mapping(self))


@dataclass(frozen=True)
class MethodSpec:
    """One variant to be: a method with every parameter decided."""

    name: str
    params: Mapping[str, Scalar] = field(default_factory=dict)
    """Every field of the method, defaults filled in."""
    calibration: CalibrationSpec | None = None
    """Its own calibration; None: the sweep's."""
    label: str | None = None
    """The user's own name for it, if any."""


JUDGED = "judged"


@dataclass(frozen=True)
class TaskSpec:
    name: str
    params: Mapping[str, Scalar] = field(default_factory=dict)
    """Every parameter of the task, defaults filled in."""
    only: tuple[str, ...] | str | None = None
    """The methods it is measured of, beside `none`; None: all. `JUDGED`: the variants that the judge's ``best`` chooses
    once all else is measured."""

    def concerns(self, method: str, is_judged: bool = False) -> bool:
        """Whether it is measured of a variant of this method."""
        if method == "none" or self.only is None:
            return True
        return is_judged if self.only == JUDGED else method in self.only


@dataclass(frozen=True)
class JudgeSpec:
    """One judge with every parameter decided."""

    name: str
    params: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True)
class JudgingSpec:
    """Who judges stored answers, and which of them."""

    judges: tuple[JudgeSpec, ...]
    """One, or a panel."""
    against: str = "none"
    """Whom every variant meets: a method, a label or the beginning of a variant's key."""
    variants: tuple[str, ...] = ()
    """Who is judged, in the same words; none: all that have answers."""
    best: int | None = None
    """Of those, only so many of each model: the least changed ones."""
    by: str = "fidelity"
    """What ``best`` goes by: fidelity, perplexity or bits."""
    duels: bool = False
    """Whether the chosen variants meet each other instead of an opponent."""
    aa: bool = True
    """Whether the judge is shown `none` against itself too: what it makes of no difference."""
    again: bool = False
    """Whether `none` answers twice, so that the judge can be shown both: the noise floor of all win rates."""
    concurrency: int = 8
    """Requests in flight."""
    budget: str | None = None

    def to_mapping(self) -> dict[str, Any]:
        """The shape of a [judge] table."""
        rest = {name: value for name, value in _mapping(self).items() if name != "judges"}
        rest["variants"] = list(self.variants)
        if not self.variants:
            del rest["variants"]
        panel = [_flat(judge) for judge in self.judges]
        return {**panel[0], **rest} if len(panel) == 1 else {**rest, "panel": panel}


@dataclass(frozen=True)
class RaySpec:
    """What a variant is given on a Ray cluster."""

    address: str | None = None
    """HOST:PORT, ray://HOST:PORT or auto; None: RAY_ADDRESS, and without that a cluster of this machine alone."""
    cpus: int | None = None
    """Threads of a task; None: as many as torch has here."""
    gpus: float | None = None
    """None: one where the sweep computes on cuda."""
    memory_gb: float | None = None
    """None: nothing is asked for until a worker has run out of it."""
    minutes: float | None = None
    """A task that takes longer has failed."""


@dataclass(frozen=True)
class SweepConfig:
    name: str
    models: tuple[str, ...]
    languages: tuple[str, ...]
    methods: tuple[MethodSpec, ...]
    tasks: tuple[TaskSpec, ...]
    calibration: CalibrationSpec = field(default_factory=CalibrationSpec)
    seed: int = 0
    draws: int = 1
    """How many calibration draws each method that reads calibration text is repeated over."""
    limit: int | None = None
    """At most this many test passages per language; None: all."""
    overlap: str = "report"
    """What is done where calibration text shares long wording with what is tested: ``report`` or ``refuse``."""
    out: str | None = None
    """The run folder; None: ``runs/<name>``."""
    dtype: str = "auto"
    device: str = "auto"
    executor: str = "local"
    ray: RaySpec | None = None
    """None: as its defaults say."""
    judging: JudgingSpec | None = None
    """How the answers are judged after measuring; None: not at all."""

    def to_mapping(self) -> dict[str, Any]:
        """The shape of a sweep file, with everything spelled out: parsing it gives this configuration again."""
        value = _mapping(self)
        value["calibration"] = _mapping(self.calibration)
        if ray := value.pop("ray", None):
            value["ray"] = _mapping(ray)
        if judging := value.pop("judging", None):
            value["judge"] = judging.to_mapping()
        value["method"] = [_flat(method) for method in value.pop("methods")]
        value["task"] = [_flat(task) for task in value.pop("tasks")]
        return value


def _mapping(spec: Any) -> dict[str, Any]:
    """A dataclass's fields that are not None, in order."""
    found = {name: getattr(spec, name) for name in spec.__dataclass_fields__}
    return {name: value for name, value in found.items() if value is not None}


def _flat(spec: MethodSpec | TaskSpec | JudgeSpec) -> dict[str, Any]:
    """A method, task or judge as a sweep file has it: its parameters beside its name; a None is left to the default."""
    rest = {name: value for name, value in _mapping(spec).items() if name not in ("name", "params", "calibration")}
    params = {name: value for name, value in spec.params.items() if value is not None}
    calibration = getattr(spec, "calibration", None)
    return {"name": spec.name, **rest, **params} | ({"calibration": _mapping(calibration)} if calibration else {})
