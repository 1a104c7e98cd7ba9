"""The A/A floor: bands by enumeration, false alarms by simulation, and the words of claims that lie inside it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from results.cell import Cell, Variant
from results.claim import Claims
from results.claims import make_claims
from results.estimate import Estimate, Sample
from results.floors import answer_floors, find_floors
from results.gap import LN2
from results.noise import Floor, positive_floor, signed_floor, swap_band
from results.record import Record
from results.sentences import inside
from results.statistics import Contrast, mean
from results.store import Run

NONE, RTN, AWQ = "none", "rtn", "awq"
N = 16


def test_the_band_is_a_quantile_over_all_label_swaps() -> None:
    values = [0.3, -0.1, 0.2, 0.25, -0.4]
    means = sorted(abs(sum(s * v for s, v in zip(signs, values, strict=True)) / 5) for signs in SIGNS)
    band = swap_band(values)
    assert band in [pytest.approx(m) for m in means]
    assert np.mean([m <= band + 1e-12 for m in means]) >= 0.95
    assert swap_band([0.0] * 40) == 0.0
    many = np.random.default_rng(0).normal(size=200)
    assert swap_band(many) == pytest.approx(1.96 * np.sqrt((many**2).mean() / 200), rel=0.04)
    assert swap_band(many) == swap_band(many)


SIGNS = list(itertools.product((1, -1), repeat=5))


def test_another_re_run_falls_outside_one_time_in_twenty() -> None:
    rng = np.random.default_rng(1)
    outside = [abs(rng.normal(size=24).mean()) > swap_band(rng.normal(size=24)) for _ in range(200)]
    assert 0.02 <= np.mean(outside) <= 0.085


def test_a_floor_whose_readings_differ_one_way_says_so() -> None:
    rng = np.random.default_rng(2)
    assert signed_floor("extra_bits", "ko", rng.normal(size=24)).is_centred
    assert not signed_floor("extra_bits", "ko", rng.normal(size=24) + 2).is_centred
    assert signed_floor("extra_bits", "ko", [0.1]).is_centred, "one value tells nothing"


def test_the_floor_of_a_divergence_is_its_upper_bound() -> None:
    found = positive_floor("kld", "ko", mean([0.1, 0.3, 0.2]))
    assert found.band == found.mean.high
    assert positive_floor("kld", "ko", Contrast(-1e-6, 0.0, 0, 1)).band == 1e-6
    assert Floor("kld", "ko", 0.2, Estimate(0.1)).holds(-0.2)
    assert not Floor("kld", "ko", 0.2, Estimate(0.1)).holds(0.21)


def answers(language: str, margins: np.ndarray, group: str = "i{}") -> list[Sample]:
    return [
        Sample(
            f"{language}{i}",
            group.format(i),
            {"correct": float(m > 0), "margin": float(m), "choice": float(m < 0), "choices": 2.0},
        )
        for i, m in enumerate(margins)
    ]


def test_floors_of_answers_of_which_some_were_asked_again() -> None:
    rng = np.random.default_rng(5)
    first = {code: rng.normal(size=24) for code in ("en", "ko")}
    off = {code: rng.normal(size=12) for code in first}
    now = {code: first[code][:12] + off[code] for code in first}
    found = answer_floors(
        {code: answers(code, of) for code, of in first.items()},
        {code: answers(code, of) for code, of in now.items()},
        "items",
        "batch shape",
    )
    one, more = {"accuracy", "margin", "flips"}, {"accuracy_gap", "margin_gap"}
    assert set(found) == {*((m, "en") for m in one), *((m, "ko") for m in one | more)}
    assert found["margin", "ko"].band == pytest.approx(swap_band(off["ko"]) / 2**0.5)
    assert found["margin_gap", "ko"].band == pytest.approx(swap_band(off["ko"] - off["en"]) / 2**0.5)
    assert found["margin", "ko"].mean.value == pytest.approx(off["ko"].mean())
    assert (found["margin", "ko"].mean.clusters, found["margin", "ko"].setting) == (12, "items")
    changed = int(((first["ko"][:12] > 0) != (now["ko"] > 0)).sum())
    assert changed
    assert found["flips", "ko"].mean.value == changed / 12 < found["flips", "ko"].band < 1
    assert found["accuracy", "ko"].band > 0


def test_the_floor_of_a_mean_over_more_items_foretells_how_that_mean_moves() -> None:
    """Known from 50 of 200 items, the band holds the mean over all 200 about 19 times in 20."""
    rng = np.random.default_rng(6)
    zero = {"en": answers("en", np.zeros(200))}
    held = []
    for _ in range(200):
        floor = answer_floors(zero, {"en": answers("en", rng.normal(size=50))}, "items", "re-run")["margin", "en"]
        held.append(floor.holds(float(rng.normal(size=200).mean())))
    assert 0.9 <= np.mean(held) <= 0.985


def test_the_same_answers_again_give_floors_of_exactly_zero() -> None:
    same = {"en": answers("en", np.linspace(-2, 3, 24), "p{}#q")}
    found = answer_floors(same, same, "items", "re-run")
    assert (found["margin", "en"].band, found["accuracy", "en"].band, found["flips", "en"].mean.value) == (0, 0, 0)
    assert not found["margin", "en"].holds(1e-9)
    assert inside(found["margin", "en"]) == ("", "")


# ---- from a run ----


def rows(language: str, nats: np.ndarray, sentences: float | None = 5.0, **more: np.ndarray) -> tuple[Sample, ...]:
    found = []
    for i, x in enumerate(nats):
        quantities = {"nats": float(x), "tokens": 100.0} | {name: float(of[i]) for name, of in more.items()}
        found.append(
            Sample(f"{language}{i}", f"g{i:02d}", quantities | ({"sentences": sentences} if sentences else {}))
        )
    return tuple(found)


def samples(language: str, nats: np.ndarray, sentences: float | None = 5.0, **more: np.ndarray) -> dict[str, Sample]:
    return {row.group: row for row in rows(language, nats, sentences, **more)}


def variant(method: str) -> Variant:
    return Variant("tiny/model", "w" * 32, method)


def a_run(
    folder: Path, damage: dict[str, dict[str, float]], noise: float, sentences: float = 5.0, shift: float = 0.0
) -> Claims:
    """`none` read twice, ``noise`` nats apart by passage; each variant off by its damage and 0.1 nats of noise."""
    rng = np.random.default_rng(3)
    languages = list(dict.fromkeys(code for of in damage.values() for code in of))
    with Run.open(folder, write=True) as run:
        base = {code: 300 + 20 * rng.normal(size=N) for code in languages}
        for code in languages:
            read = Cell(variant(NONE), "perplexity", 1, code, f"text {code}", {"protocol": "rolling"})
            run.append(Record(read, "ok"), rows(code, base[code], sentences))
            again = replace(read, task="fidelity", reference=read.key)
            kl = {"kl_nats": np.full(N, noise / 10), "entropy_nats": np.full(N, 200.0)}
            nats = base[code] + shift + noise * rng.normal(size=N)
            run.append(Record(again, "ok"), rows(code, nats, sentences, **kl))
        for one, of in damage.items():
            for code, lost in of.items():
                read = Cell(variant(one), "perplexity", 1, code, f"text {code}", {"protocol": "rolling"})
                run.append(Record(read, "ok"), rows(code, base[code] + lost + 0.1 * rng.normal(size=N), sentences))
    return make_claims(Run.open(folder))


def test_floors_of_a_setting() -> None:
    rng = np.random.default_rng(4)
    o = {code: rng.normal(300, 20, size=N) for code in ("en", "ko")}
    off = {code: rng.normal(size=N) for code in o}
    kl = {"kl_nats": rng.uniform(0, 0.1, size=N), "entropy_nats": np.full(N, 200.0)}
    none = {code: samples(code, o[code]) for code in o}
    again = {code: samples(code, o[code] + off[code], **kl) for code in o}
    found = find_floors(none, again)
    assert {metric for metric, code in found if code == "ko"} == {"log_ratio", "extra_bits", "kld", "kld_share", "gap"}
    assert ("gap", "en") not in found
    assert found["extra_bits", "ko"].band == pytest.approx(swap_band(off["ko"] / (5 * LN2)))
    assert found["log_ratio", "ko"].band == pytest.approx(swap_band(off["ko"] / 100))
    assert found["gap", "ko"].band == pytest.approx(swap_band((off["ko"] - off["en"]) / (5 * LN2)))
    kld = found["kld", "ko"]
    assert kld.mean.value == pytest.approx(kl["kl_nats"].mean() / (5 * LN2))
    assert kld.band > kld.mean.value
    assert found["kld_share", "ko"].mean.value == pytest.approx(kl["kl_nats"].sum() / (200 * N))
    plain = {code: samples(code, o[code], None) for code in o}
    again = {code: samples(code, o[code] + off[code], None, **kl) for code in o}
    assert {metric for metric, _ in find_floors(plain, again)} == {"log_ratio", "kld_share"}


def test_a_floor_from_half_of_the_passages_is_that_of_a_mean_over_all() -> None:
    """Where rounding moves each passage as much as the next, half of them tell the band that all have."""
    off = {"en": np.resize([1.0, -1.0], N), "ko": np.resize([2.0, -2.0], N)}
    none = {code: samples(code, np.full(N, 300.0)) for code in off}
    again = {code: samples(code, 300.0 + off[code]) for code in off}
    half = {code: dict(list(again[code].items())[: N // 2]) for code in off}
    found, whole = find_floors(none, half), find_floors(none, again)
    alone = find_floors({code: {g: none[code][g] for g in half[code]} for code in off}, half)
    for metric in ("log_ratio", "extra_bits", "gap"):
        band = found[metric, "ko"].band
        assert band == pytest.approx(alone[metric, "ko"].band / 2**0.5), (
            "shrunk to the number that metrics are means of"
        )
        assert band == pytest.approx(whole[metric, "ko"].band, rel=0.2)


def test_a_change_inside_the_floor_is_not_established_though_its_p_is_small(tmp_path: Path) -> None:
    claims = a_run(tmp_path, {RTN: {"en": 0.5, "ko": 30.0}}, noise=3.0)
    en, ko = claims.changes
    assert (en.p_adjusted < 0.001, en.inside_floor, en.established) == (True, True, False)
    assert (ko.inside_floor, ko.established) == (False, True)
    assert en.sentence_en.startswith(
        "rtn: no change established in English (inside the noise floor: `none` read again in other batches gives up "
        "to ±0."
    )
    assert " bits per sentence): +0.1" in en.sentence_en
    assert "영어의 변화는 확인되지 않았습니다(측정 잡음 수준 이내: `none`을 다른 배치로 다시 읽으면" in en.sentence_ko
    assert "비트까지 달라짐). 문장당 +0.1" in en.sentence_ko
    assert "loses 8." in ko.sentence_en
    assert en.kld_floor is not None
    assert en.kld_floor.metric == "kld"
    (note,) = [note for note in claims.notes if note.sentence_en.startswith("Noise floor, extra bits per sentence")]
    assert "read again in other batches, known from 16 passages: " in note.sentence_en
    assert "(16개 지문으로 추정): " in note.sentence_ko
    assert {floor.language for floor in claims.floors} == {"en", "ko"}


def test_a_gap_inside_the_floor_is_not_established(tmp_path: Path) -> None:
    claims = a_run(tmp_path, {RTN: {"en": 20.0, "ko": 20.5, "fr": 40.0}}, noise=3.0)
    ko, fr = claims.gaps
    assert (ko.p_headline_adjusted < 0.01, ko.inside_floor, ko.verdict) == (True, True, "not established")
    assert "between Korean and English is not established (inside the noise floor: " in ko.sentence_en
    assert "격차는 확인되지 않았습니다(측정 잡음 수준 이내" in ko.sentence_ko
    assert (fr.inside_floor, fr.verdict) == (False, "established")
    assert any("not established in ko (up to" in said.sentence_en for said in claims.not_established)


def test_comparisons_and_crossings_need_more_than_the_floor(tmp_path: Path) -> None:
    claims = a_run(tmp_path, {RTN: {"en": 20.0, "ko": 40.0}, AWQ: {"en": 19.5, "ko": 60.0}}, noise=3.0)
    en, ko = (one for one in claims.comparisons if one.measure == "bits")
    assert (en.p_adjusted < 0.001, en.inside_floor, en.verdict) == (True, True, "tie")
    assert ko.verdict == "loss"
    assert claims.comparison_sentences[0].sentence_en.endswith(" Inside the noise floor: en.")
    assert claims.comparison_sentences[0].sentence_ko.endswith(" 측정 잡음 수준 이내: en.")
    assert claims.crossings == ()
    clear = a_run(tmp_path / "clear", {RTN: {"en": 20.0, "ko": 40.0}, AWQ: {"en": 19.5, "ko": 60.0}}, noise=0.1)
    assert len(clear.crossings) == 1


def test_readings_that_differ_one_way_are_told(tmp_path: Path) -> None:
    claims = a_run(tmp_path, {RTN: {"en": 20.0}}, noise=1.0, shift=5.0)
    (said,) = [note for note in claims.notes if "differs from itself in one direction" in note.sentence_en]
    assert said.sentence_en.startswith("English: `none` read again in other batches differs")
    assert said.sentence_en.endswith("; its interval excludes 0, as one in twenty does by chance).")
    assert "한쪽으로 치우칩니다" in said.sentence_ko
    assert said.sentence_ko.endswith("구간이 0을 포함하지 않음. 스무 번에 한 번은 우연히도 그렇습니다).")


def test_documents_whose_sentences_nobody_counted_are_called_documents(tmp_path: Path) -> None:
    claims = a_run(tmp_path, {RTN: {"en": 20.0, "ko": 40.0}, AWQ: {"en": 10.0, "ko": 60.0}}, noise=0.1, sentences=1.0)
    said = [*claims.changes, *claims.gaps, *claims.crossings, *claims.comparison_sentences, *claims.notes]
    assert {change.unit for change in claims.changes} == {gap.unit for gap in claims.gaps} == {"document"}
    assert not [one for one in said if "sentence" in one.sentence_en or "문장" in one.sentence_ko]
    assert "loses 28." in claims.changes[0].sentence_en
    assert "bits per document" in claims.changes[0].sentence_en
    assert "문서당" in claims.gaps[0].sentence_ko


def test_without_a_second_reading_there_is_no_floor() -> None:
    assert find_floors({"en": samples("en", np.ones(3))}, {}) == {}
