"""A synthetic run: three variants and one that failed, languages with seeded nats; enough for every part of a page."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from results.cell import Cell, Variant
from results.environment import Environment
from results.estimate import Estimate, Sample
from results.record import Record
from results.store import Run

sys.path.insert(0, str(Path(__file__).parents[1] / "results"))  # for its judged run
sys.path.insert(0, str(Path(__file__).parent))  # for chrome and rich_run

PASSAGES = 12
SENTENCES = 5
HOSTILE = "<script>alert(1)</script>"
TOKENS = {"en": 120, "ko": 160, "ja": 150, "zh": 130, "fr": 140, "es": 138, "vi": 170, "id": 135}
DAMAGE = {"none": 0.0, "rtn4": 0.12, "rtn3": 0.9, "awq": 0.07}
EXTRA = {"en": 1.0, "ko": 1.9, "ja": 1.6, "zh": 1.2, "fr": 1.1, "es": 1.05, "vi": 1.5, "id": 1.3}
SIZES = {  # codes, scales, embeddings, rest; bytes
    "none": (0, 0, 335_544_320, 200_540_800),
    "rtn4": (49_971_200, 1_561_600, 335_544_320, 669_184),
    "rtn3": (37_478_400, 1_561_600, 335_544_320, 669_184),
    "awq": (49_971_200, 1_561_600, 335_544_320, 669_184),
}
METHODS = {
    "none": ("none", {}),
    "rtn4": ("rtn", {"bits": 4, "granularity": "group:128", "symmetric": False}),
    "rtn3": ("rtn", {"bits": 3, "granularity": "group:128", "symmetric": False}),
    "awq": ("awq", {"bits": 4, "granularity": "group:128", "grid": 20}),
}


def variant(name: str, model: str = "bundled:gemma-3-270m") -> Variant:
    method, params = METHODS.get(name, (name, {}))
    drawn = {"calibration": "c" * 32, "calibration_label": "bundled en:1 ko:1, 4096 tokens"} if method == "awq" else {}
    return Variant(model=model, weights="f" * 32, method=method, params=params, **drawn)


def build_run(folder: Path, languages: Sequence[str] = ("en", "ko", "ja"), model: str = "bundled:gemma-3-270m") -> Path:
    with Run.open(folder, write=True) as run:
        digest = run.add_environment(
            Environment(
                python="3.11.2",
                platform="Linux-x86_64",
                cpu="a processor",
                cores=2,
                libraries={"torch": "2.13.0"},
                commit="0" * 40,
                dirty=False,
            )
        )
        run.config('name = "synthetic"\n')
        for name in METHODS:
            chosen = variant(name, model)
            run.append(_footprint(chosen, name, digest))
            for language in languages:
                for record, samples in _readings(chosen, variant("none", model), name, language, digest):
                    run.append(record, samples)
        lost = Variant(
            model=model, weights="f" * 32, method="ref_bitsandbytes", params={"format": "nf4"}, dtype="float32"
        )
        for language in languages:
            run.append(
                Record(
                    cell=Cell(lost, "perplexity", 1, language, "t" + language, {"corpus": "bundled"}),
                    status="failed" if language == "ko" else "skipped",
                    reason=f"bitsandbytes is missing {HOSTILE}: pip install 'langgap[bitsandbytes]'",
                    environment=digest,
                )
            )
    return folder


def _footprint(chosen: Variant, name: str, environment: str) -> Record:
    code, scale, embedding, rest = SIZES[name]
    total = code + scale + embedding + rest
    values = {
        "code_bytes": code,
        "scale_bytes": scale,
        "side_bytes": 0,
        "embedding_bytes": embedding,
        "head_bytes": 0,
        "rest_bytes": rest,
        "total_bytes": total,
        "file_bytes": total + 4096,
    }
    if code:
        values["bits_per_weight"] = 8 * (code + scale) / 99_942_400
    return Record(
        cell=Cell(chosen, "footprint", 1, "und", "none"),
        status="ok",
        estimates={key: Estimate(float(value)) for key, value in values.items()},
        artifact="a" * 32,
        seconds={"weigh": 0.25},
        environment=environment,
    )


def _readings(
    chosen: Variant, base: Variant, name: str, language: str, environment: str
) -> list[tuple[Record, list[Sample]]]:
    """Perplexity, and fidelity for all but `none`, of one variant in one language."""
    rng = np.random.default_rng(sum(map(ord, language)))
    tokens = rng.integers(TOKENS[language] - 20, TOKENS[language] + 20, PASSAGES).astype(float)
    nats = tokens * rng.normal(3.0, 0.2, PASSAGES)
    shift = np.random.default_rng(len(name) + sum(map(ord, language + name)))
    damage = DAMAGE[name] * EXTRA[language]
    nats = nats + tokens * damage * shift.normal(1.0, 0.35, PASSAGES)
    params = {"corpus": "bundled", "protocol": "rolling"}
    text = f"text-{language}"
    cell = Cell(chosen, "perplexity", 1, language, text, params)
    samples = [
        Sample(
            id=f"{language}-{i}",
            group=f"passage-{i:02d}",
            source_language=("en", "ko", "ja")[i % 3],
            quantities={
                "nats": float(nats[i]),
                "tokens": float(tokens[i]),
                "bytes": float(4 * tokens[i]),
                "sentences": float(SENTENCES),
            },
        )
        for i in range(PASSAGES)
    ]
    per_sentence = nats / SENTENCES / math.log(2)
    estimates = {
        "perplexity": _spread(nats / tokens, math.exp),
        "nats_per_token": _spread(nats / tokens, float),
        "bits_per_sentence": _spread(per_sentence, float),
        "bits_per_byte": _spread(nats / tokens / 4 / math.log(2), float),
    }
    spent = {"load": 1.5, "read": 3.25}
    kept = {"protocol": "rolling, BOS unscored", "dtypes": "float32 body, head and log-softmax"}
    ok = {"status": "ok", "artifact": "a" * 32, "environment": environment, "notes": kept}
    done = [(Record(cell=cell, estimates=estimates, seconds=spent, **ok), samples)]
    if name != "none":
        reference = Cell(base, "perplexity", 1, language, text, params)
        cell = Cell(chosen, "fidelity", 1, language, text, params, reference=reference.key)
        kl = tokens * damage * shift.uniform(0.5, 1.0, PASSAGES)
        samples = [
            Sample(
                s.id,
                s.group,
                {
                    "kl_nats": float(kl[i]),
                    "entropy_nats": float(2.5 * tokens[i]),
                    "tokens": float(tokens[i]),
                    "agreed": float(round(tokens[i] * 0.9)),
                    "delta_p_squared": float(0.01 * tokens[i]),
                    "bytes": float(4 * tokens[i]),
                    "sentences": float(SENTENCES),
                },
                s.source_language,
            )
            for i, s in enumerate(samples)
        ]
        mean = float(kl.sum() / tokens.sum())
        estimates = {
            "kld_mean": _spread(kl / tokens, float),
            "kld_median": Estimate(mean / 3),
            "kld_p99": Estimate(mean * 8),
            "kld_p999": Estimate(mean * 15),
            "top1_agreement": Estimate(0.9),
            "delta_p_rms": Estimate(0.1),
            "kld_bits_per_sentence": _spread(kl / SENTENCES / math.log(2), float),
        }
        done.append((Record(cell=cell, estimates=estimates, seconds={"read": 1.0}, **ok), samples))
    return done


def _spread(values: np.ndarray, form: Callable[[float], float]) -> Estimate:
    mean, half = float(values.mean()), float(2.2 * values.std(ddof=1) / math.sqrt(len(values)))
    return Estimate(form(mean), form(mean - half), form(mean + half), 0.95, "t", PASSAGES - 1.0, PASSAGES)


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def build() -> Callable[..., Path]:
    return build_run
