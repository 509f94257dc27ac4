"""`python -m pisces explore`: the page of the results with the real model behind it."""

import argparse
from pathlib import Path

from pisces.commands.help_texts import texts_of

PAGE, FRAMES = Path("plots/report.html"), Path("data/explorer.npz")
DATA, MODELS = Path("data"), Path("models")
PORT = 5050


def add_explore(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `explore` to the commands of a parser."""
    exploring = commands.add_parser("explore", **texts_of(explore))
    exploring.set_defaults(function=explore)
    which = f"on this machine alone; 0 for any that is free; default: {PORT}"
    exploring.add_argument("--port", type=int, default=PORT, help=which)


def explore(port: int) -> None:
    """Serves plots/report.html on this machine: pixels painted away, and what the model says then.

    Args:
        port: of the loopback interface.
    """
    from pisces.config.io import load_params
    from pisces.core.reading import damaged, require
    from pisces.explorer import live, server

    require(PAGE, "page")
    listening = server.listening(port)
    params = load_params()
    how = {"fill": params.pis.fill, "precision": params.train.precision}
    model, digest = live.load(MODELS, DATA, FRAMES, how, params.base.seed)

    page = PAGE.read_text(encoding="utf-8")
    if digest not in page:
        raise ValueError(
            f"{PAGE} is of another model than {MODELS}, whose weights have the SHA-256 "
            f"{digest[:12]}; make it again with dvc repro page"
        )
    try:
        shown = server.live_page(page)
    except ValueError as error:
        raise damaged(PAGE, "page", str(error)) from None

    address = f"http://{server.HOST}:{listening.getsockname()[1]}/"
    print(f"open {address}#explorer; Ctrl-C ends it", flush=True)
    server.serve(shown, model.answer, listening)
