"""Groups of verbs that know which verb was meant, and what their own name alone means."""

from typing import Any

import click
from click.shell_completion import CompletionItem

from modelship_lab.commands.naming import closest


class Verbs(click.Group):
    """A group that knows which verb was meant, and lists its verbs in the order they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name and not name.startswith("-") and self.get_command(ctx, name) is None:
            meant = closest(name, self.commands)
            advice = f" Did you mean '{meant}'?" if meant else ""
            raise click.UsageError(f"There is no verb '{name}'.{advice}", ctx)
        return super().resolve_command(ctx, args)


class VerbGroup(Verbs):
    """A verb with verbs of its own, one of which is meant when none is named: `keys` is `keys list`.

    Args:
        default: the verb that is meant.
        names: what the default verb takes; then a word that is no verb is one of these: `credits ann`.
    """

    def __init__(
        self, *args: Any, default: str = "list", names: click.ParamType[Any] | None = None, **settings: Any
    ) -> None:
        super().__init__(*args, **settings)
        self._default = default
        self._names = names

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # While the Tab key asks what could follow, a verb may do so as long as there is no other word.
        if (args or not ctx.resilient_parsing) and self._means_default(ctx, args):
            args = [self._default, *args]
        return super().parse_args(ctx, args)

    def _means_default(self, ctx: click.Context, args: list[str]) -> bool:
        if not args or args[0].startswith("-"):
            return not args or args[0] not in ctx.help_option_names
        return self._names is not None and args[0] not in self.commands

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = super().shell_complete(ctx, incomplete)
        if self._names is not None:
            found += self._names.shell_complete(ctx, click.Argument([self._names.name]), incomplete)
        return found
