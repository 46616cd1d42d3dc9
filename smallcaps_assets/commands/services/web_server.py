"""Dagster's web server behind a `RequestGuard`.

    python -m smallcaps_assets.commands.services.web_server ADDRESS... -- FLAGS OF DAGSTER'S WEB SERVER

Dagster's command builds its app and serves it in one function, without a setting for middleware. So the function that
builds the app is replaced in this process; `exposure.require_guarded` checks at every start that this has an effect.
"""

import sys
from typing import Any

from dagster_webserver import cli
from dagster_webserver.app import create_app_from_workspace_process_context
from starlette.applications import Starlette

from smallcaps_assets.commands.services.request_guard import RequestGuard


def serve_guarded() -> None:
    """Serve until interrupted."""
    end = sys.argv.index("--")
    addresses, sys.argv = sys.argv[1:end], ["dagster-webserver", *sys.argv[end + 1 :]]

    def build_guarded(*arguments: Any, **named: Any) -> Starlette:  # noqa: ANN401 -- Dagster's own
        app = create_app_from_workspace_process_context(*arguments, **named)
        app.add_middleware(RequestGuard, addresses=addresses)
        return app

    setattr(cli, create_app_from_workspace_process_context.__name__, build_guarded)
    cli.main()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    serve_guarded()
