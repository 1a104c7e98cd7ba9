from __future__ import annotations

from harness import tasks


def test_a_task_is_a_module_that_declares_all_four_names(tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "_FOLDER", tmp_path)
    declared = '"""Doc."""\nimport nobody_has_this\n\nNAME: str = "weigh"\nVERSION = 3\nSUMMARY = "Weighs."\n'
    (tmp_path / "weigh.py").write_text(declared + 'FIELDS = {"unit": ("kg", "of weight")}\n')
    (tmp_path / "partly.py").write_text(declared)
    (tmp_path / "_private.py").write_text(declared + "FIELDS = {}\n")
    (tmp_path / "inner.py").write_text(
        "def f():\n" + "\nNAME = 1\nVERSION = 1\nSUMMARY = ''\n".replace("\n", "\n    ") + "\nFIELDS = {}\n"
    )
    assert tasks.all_tasks() == {
        "weigh": tasks.Task("weigh", 3, "Weighs", {"unit": ("kg", "of weight")}, "harness.weigh")
    }


def test_a_task_with_a_corpus_reads_text():
    assert tasks.Task("a", 1, "", {"corpus": ("bundled", "")}, "").reads_text
    assert not tasks.Task("a", 1, "", {}, "").reads_text


def test_the_three_of_the_first_sweep_are_there_and_load():
    found = tasks.all_tasks()
    assert {"perplexity", "fidelity", "footprint"} <= set(found)
    for name, task in found.items():
        module = task.load()
        assert (name, task.version) == (module.NAME, module.VERSION)
        assert dict(module.FIELDS) == dict(task.fields)
        assert callable(module.measure)
