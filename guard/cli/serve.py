"""`guard serve`: the proxy."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from guard.proxy.gateway import Gateway
    from guard.settings import Settings


def serve(
    upstream: Annotated[
        str | None, typer.Option(help="Base URL of an OpenAI-compatible server. Without it the embedded model answers.")
    ] = None,
    policy: Annotated[str | None, typer.Option(help="A built-in policy's name, or the path of a policy file.")] = None,
    config: Annotated[Path | None, typer.Option(help="A guard.yaml. Flags and GUARD_* variables override it.")] = None,
    host: Annotated[str | None, typer.Option(help="Address that clients reach.")] = None,
    port: Annotated[int | None, typer.Option(help="Port that clients reach.")] = None,
    admin_port: Annotated[int | None, typer.Option(help="Port of health and metrics, on loopback.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that serve clients, one for each core.")] = None,
    model: Annotated[str | None, typer.Option(help="In-process model: a folder, a hub id, or `embedded`.")] = None,
    fallback: Annotated[
        bool | None,
        typer.Option("--fallback/--no-fallback", help="Let the in-process model answer while upstream fails."),
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Show the configuration in force, secrets hidden, and stop.")
    ] = False,
) -> None:
    """Serve the OpenAI API in front of a model, and review every token before it leaves."""
    from guard.policy import PolicyError
    from guard.settings import Settings, SettingsError

    overrides: dict[str, Any] = {
        "policy": policy,
        "host": host,
        "port": port,
        "admin_port": admin_port,
        "workers": workers,
    }
    overrides = {name: value for name, value in overrides.items() if value is not None}
    if upstream is not None:
        overrides["upstream"] = {"url": upstream}
    if model is not None:
        overrides["in_process"] = {"model": model}
    if fallback is not None:
        overrides["fallback"] = {"enabled": fallback}
    try:
        settings = Settings.load(config, overrides=overrides)
        if print_config:
            import yaml

            typer.echo(yaml.safe_dump(settings.effective(), sort_keys=False, allow_unicode=True), nl=False)
            return
        _run(settings)
    except SettingsError as error:
        for problem in error.problems:
            typer.echo(f"guard: {problem}", err=True)
        raise typer.Exit(2) from None
    except PolicyError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


def _run(settings: Settings) -> None:
    configure_log(settings)
    if settings.workers > 1:
        _run_workers(settings)
    else:
        _run_alone(settings)


def _run_alone(settings: Settings) -> None:
    """Serve in this process."""
    import uvloop

    from guard.contract import DetectorError
    from guard.observe.audit_file import AuditError
    from guard.proxy.app import create_gateway
    from guard.proxy.reload import Reloader, read_candidate
    from guard.proxy.server import PortError, listen
    from guard.proxy.server import serve as serve_apps
    from guard.wire.errors import UpstreamError

    try:
        public = listen(settings.host, settings.port, "--port")
        admin = listen(settings.admin_host, settings.admin_port, "--admin-port")
        _prepare(settings)
        candidate = read_candidate(settings.policy)
        gateway = create_gateway(settings, policy=candidate.policy)
        addresses = _url(public.getsockname()), _url(admin.getsockname())
        policy = f"{candidate.policy.name} ({candidate.policy.version})"

        async def main() -> None:
            model = await name_model(settings, gateway)
            await serve_apps(
                gateway,
                public,
                admin,
                drain=settings.drain,
                started=lambda: typer.echo(_welcome(settings, policy, *addresses, model)),
                reloader=Reloader(gateway, settings.policy, candidate.files),
                watching=settings.watch,
            )

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
    except (PortError, DetectorError, UpstreamError, AuditError) as error:
        typer.echo(f"guard: {error}", err=True)
        raise typer.Exit(1) from None


def _run_workers(settings: Settings) -> None:
    """Serve in several processes, with this one as their parent."""
    import uvloop

    from guard.backends.base import UpstreamError
    from guard.proxy.server import PortError, listen, reserve
    from guard.proxy.workers import WorkerFailed, Workers, check_workers, serve_workers, worker_command

    check_workers(settings)
    try:
        public = reserve(settings.host, settings.port, "--port")
        admin = listen(settings.admin_host, settings.admin_port, "--admin-port")
        addresses = _url(public.getsockname()), _url(admin.getsockname())
        _prepare(settings)
        with _metrics_folder() as folder:
            workers = Workers(settings, worker_command("guard.cli.worker:main"), public, folder)

            def started(model: str) -> None:
                policy = f"{workers.policy['name']} ({workers.policy['version']})" if workers.policy else ""
                typer.echo(_welcome(settings, policy, *addresses, model))

            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(serve_workers(workers, admin, started=started, watching=settings.watch))
    except WorkerFailed as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.code) from None
    except (PortError, UpstreamError) as error:
        typer.echo(f"guard: {error}", err=True)
        raise typer.Exit(1) from None


@contextlib.contextmanager
def _metrics_folder() -> Iterator[str]:
    """Where workers share their metrics while the guard runs."""
    import tempfile

    from guard.observe.multiprocess import prepare

    try:
        folder = tempfile.TemporaryDirectory(prefix="guard-metrics-")
        prepare(folder.name)
    except OSError as error:
        says = f"workers share their metrics in a folder, and none can be made ({error}): set TMPDIR to where one can"
        typer.echo(f"guard: {says}", err=True)
        raise typer.Exit(1) from None
    with folder:
        yield folder.name


def _prepare(settings: Settings) -> None:
    """Convert the embedded model if this is its first use, saying so."""
    from guard.proxy.backends import uses_embedded

    if not uses_embedded(settings):
        return
    from rich.console import Console

    from guard.backends.smollm2 import embedded_model

    console = Console(stderr=True)
    with console.status("Looking for the embedded model ...") as status:
        embedded_model(progress=lambda says, _fraction: status.update(says))


async def name_model(settings: Settings, gateway: Gateway) -> str:
    """A model that the examples may name."""
    from guard.wire.errors import UpstreamError

    if gateway.models:
        return gateway.models[0]
    try:
        async with asyncio.timeout(3):
            names = await gateway.backend.models()
    except (TimeoutError, UpstreamError):
        names = ()
    return names[0] if names else "MODEL"


def _welcome(settings: Settings, policy: str, url: str, admin_url: str, model: str) -> str:
    from guard import __version__

    answers = settings.upstream.url if settings.upstream else f"{model}, in this process"
    body = json.dumps({"model": model, "stream": True, "messages": [{"role": "user", "content": "Say hello."}]})
    return f"""
QwQ Guard {__version__}: policy {policy}, answered by {answers}

  API    {url}/v1
  admin  {admin_url}/healthz  /readyz  /metrics
  status {admin_url}/

Try it:

  curl -sN {url}/v1/chat/completions -H 'content-type: application/json' -d '{body}'

Or from Python (pip install openai):

  from openai import OpenAI
  client = OpenAI(base_url="{url}/v1", api_key="none")
  answer = client.chat.completions.create(model="{model}", messages=[{{"role": "user", "content": "Say hello."}}])
  print(answer.choices[0].message.content)

Stop with Ctrl-C.
"""


def _url(address: Any) -> str:
    host, port = address[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{host}:{port}"


def configure_log(settings: Settings) -> None:
    """Logs go to standard error, one line each, JSON unless a person reads them."""
    from guard.observe import logs

    logs.configure_log(settings.log.level, settings.log.format)
