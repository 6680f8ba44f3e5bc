"""`feature-atlas mcp`: the atlas as a server of the Model Context Protocol, over stdin and stdout.

Four tools on the reader's role. The process answers one program, its parent, and nobody else.
"""

from collections.abc import Callable
from functools import wraps
from typing import Annotated, ParamSpec

import typer
from sqlalchemy import Engine

from feature_atlas.etl.terminal import plain_errors

Arguments = ParamSpec("Arguments")

MEMORY = 2 * 2**30
"""Bytes of addresses: a few rows of a gigabyte end in an error, not with the machine's memory."""

ABOUT = (
    "A feature atlas: what fine-tuning on pictures did to every SAE feature of a language model. "
    "Begin with `tables`, then `describe` what you need, then `query` in PostgreSQL's SQL. Numbers "
    "in parentheses in comments are sections of the paper."
)


def mcp(
    seconds: Annotated[int, typer.Option(min=1, max=600, help="a query may take at most")] = 30,
) -> None:
    """Serve the atlas to programs that speak MCP, over stdin and stdout: tools that only read."""
    with plain_errors():
        from feature_atlas.etl.postgres.embedded import ensure_database
        from feature_atlas.models.session import make_reader_engine

        engine = make_reader_engine(ensure_database(), statement_timeout=f"{seconds}s")
        _serve(engine)


def _serve(engine: Engine) -> None:
    """Answer until the other side closes."""
    try:
        from mcp.server import MCPServer
        from mcp.types import ToolAnnotations
    except ModuleNotFoundError:
        raise RuntimeError(
            "the package mcp is not installed: pip install -r requirements-mcp.lock, or "
            "pip install 'feature-atlas[mcp]'."
        ) from None
    from feature_atlas.etl.commands.program_tools import Tools

    server = MCPServer("feature-atlas", instructions=ABOUT, log_level="ERROR")
    reads = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    tools = Tools(engine)
    for tool in (tools.tables, tools.describe, tools.query, tools.feature):
        server.tool(annotations=reads, structured_output=False)(_telling(tool))
    _limit_memory()
    server.run("stdio")


def _telling(tool: Callable[Arguments, str]) -> Callable[Arguments, str]:
    """The tool, whose refusals the other side may read; of other errors it hears nothing."""
    from mcp.server.mcpserver.exceptions import ToolError

    @wraps(tool)
    def told(*args: Arguments.args, **kwargs: Arguments.kwargs) -> str:
        try:
            return tool(*args, **kwargs)
        except ValueError as error:
            raise ToolError(str(error)) from error
        except MemoryError as error:
            raise ToolError("the answer is larger than memory: ask for less.") from error

    return told


def _limit_memory() -> None:
    """Of this process alone, whatever server it started runs already."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, most))
