"""``served``: the questions of a run put to a variant that a server runs."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from harness.commands._text import Commands, add_command, at_least, print_json
from harness.exits import ExitCode
from harness.problems import UserError, listed

SERVED = """
Put the questions that a run's models answered to one of its variants on a server (vLLM, SGLang or
any other that speaks OpenAI's chat completions), and keep its answers in a run folder of their own,
to be judged like others. Where the run holds greedy answers of the same artifact, the first ones
are compared before the rest is asked.

examples:
  langgap export ARTIFACT --out packed --format compressed-tensors
  vllm serve packed
  langgap served runs/ko --variant awq --base-url http://127.0.0.1:8000/v1
  langgap served runs/ko --variant none --base-url http://127.0.0.1:8001/v1
  langgap judge runs/ko-served --judge api:NAME
"""


def add(commands: Commands) -> None:
    parser = add_command(commands, "served", "ask a variant that a server runs", SERVED, run)
    parser.add_argument("folder", type=Path, metavar="RUN", help="a run folder with records of the task answers")
    parser.add_argument("--variant", required=True, metavar="VARIANT", help="whose copy is served: a label or method")
    parser.add_argument("--base-url", required=True, metavar="URL", help="where, such as http://127.0.0.1:8000/v1")
    parser.add_argument("--model", metavar="NAME", help="its name there (default: the only one that is served)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="the run folder for its answers (default: RUN-served)")
    parser.add_argument("--key-variable", default="OPENAI_API_KEY", metavar="V", help="environment variable of the key")
    parser.add_argument("--concurrency", type=at_least(1), default=8, metavar="N", help="requests at a time")
    parser.add_argument("--timeout", type=float, default=120.0, metavar="S", help="seconds to wait for an answer")
    parser.add_argument("--json", action="store_true", help="print the records as JSON")


def run(args: argparse.Namespace) -> ExitCode:
    from results.store import Run

    asked = Run.open(args.folder)
    out = args.out or args.folder.with_name(f"{args.folder.name}-served")
    if out.resolve() == args.folder.resolve():
        raise UserError("--out is the run itself; answers of a server are kept in a run folder of their own.")
    from harness.progress import reporting
    from harness.served import Server, engine_of, model_names, serve_run
    from judges.endpoint import Client, Endpoint
    from judges.judgements import Judgements

    key = os.environ.get(args.key_variable, "")
    endpoint = Endpoint("", args.base_url, args.key_variable, timeout_seconds=args.timeout)
    if not key:
        raise UserError(
            f"The server at {endpoint.address} is sent a key, and the environment variable {args.key_variable} is not "
            f"set. Any word does for a server that asks for none: export {args.key_variable}=none"
        )
    names = (args.model,) if args.model else model_names(endpoint, key)
    if len(names) != 1:
        raise UserError(f"{endpoint.address} serves {listed(names)}; say which is meant with --model.")
    (model,) = names
    endpoint = Endpoint(model, args.base_url, args.key_variable, timeout_seconds=args.timeout)
    with Run.open(out, write=True) as opened, reporting() as reporter, Judgements(out / "served.jsonl") as kept:
        for notice in (*opened.notices, *kept.notices):
            reporter.notice(notice)
        for config in asked.configs():
            opened.config(config.read_text(encoding="utf-8"))
        server = Server(Client(endpoint, None, args.concurrency), kept, engine_of(endpoint, key), args.concurrency)
        cells = serve_run(asked, opened, args.variant, server, reporter)
        records = [record for cell in cells if (record := opened.record(cell.key))]
    if args.json:
        print_json([record.to_json() for record in records])
    else:
        for record in records:
            told = record.notes.get("agreement") if record.status == "ok" else record.reason
            print(f"{record.cell.variant.label}  {record.cell.language}  {record.status}: {told}")
        print(out)
    return ExitCode.OK if all(record.status == "ok" for record in records) else ExitCode.INCOMPLETE
