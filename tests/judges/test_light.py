from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAVY = {"openai", "httpx", "httpx2", "torch", "numpy", "py3langid", "datasets", "transformers", "pydantic"}


def test_no_module_of_judges_imports_a_library_before_it_is_needed():
    modules = sorted(f"judges.{path.stem}" for path in (ROOT / "judges").glob("*.py") if path.stem != "__init__")
    program = "".join(f"import {module}\n" for module in modules) + "import sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "judges.endpoint" in done.stdout.split()
    assert {name.partition(".")[0] for name in done.stdout.split()} & HEAVY == set()
