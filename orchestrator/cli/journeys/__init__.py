"""`orchestrator journeys …`: the files a marketer writes, from the first draft to live. One command a file.

Data goes to stdout, hints and progress to stderr. Exit codes: 0 fine, 1 findings, 2 usage, 3 a dependency is away.
"""

from __future__ import annotations

import typer

from orchestrator.cli.journeys import (
    check,
    explain,
    fmt,
    move,
    new,
    preview,
    publish,
    replay,
    scenarios,
    shown,
    simulate,
)

app = typer.Typer(no_args_is_help=True, help="Write, check, try and publish journeys.")

app.command(name="new")(new.new)
app.command(name="check")(check.check)
app.command(name="explain")(explain.explain)
app.command(name="preview")(preview.preview)
app.command(name="simulate")(simulate.simulate)
app.command(name="test")(scenarios.run_scenarios)
app.command(name="replay")(replay.replay)
app.command(name="fmt")(fmt.fmt)
app.command(name="list")(shown.list_)
app.command(name="publish")(publish.publish)
app.command(name="move")(move.move)
