"""``blindsight watchlist``: the list that two parties change only together."""

from __future__ import annotations

import typer

from blindsight.cli.watchlist_change import propose
from blindsight.cli.watchlist_decide import approve, reject, withdraw
from blindsight.cli.watchlist_diff import diff, dump
from blindsight.cli.watchlist_found import join, new
from blindsight.cli.watchlist_show import history, list_, show

app = typer.Typer(
    help="Found, change and compare the watchlist of two parties (`serve party`), which takes both operators."
    " A list of one owner, scored for others, is `serve watchlist`."
)
app.command("new")(new)
app.command("join")(join)
app.command("propose")(propose)
app.command("show")(show)
app.command("approve")(approve)
app.command("reject")(reject)
app.command("withdraw")(withdraw)
app.command("list")(list_)
app.command("history")(history)
app.command("diff")(diff)
app.command("dump")(dump)
