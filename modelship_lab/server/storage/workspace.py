"""The workspace: the one folder in which clients may name files of the server's machine."""

from pathlib import Path

from modelship_lab.records.errors import InvalidInput, NotFound, PermissionDenied


class Workspace:
    """The root of the paths that clients give.

    Args:
        root: Jupyter's root folder, or that of `mlship serve --workspace`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().resolve()

    def resolve(self, path: str) -> Path:
        """A path that a client gives, relative to the workspace or absolute and inside of it.

        Links are followed first: one that leads out of the workspace is refused, too.

        Raises:
            PermissionDenied: it lies outside of the workspace.
            InvalidInput: it is no path.
        """
        if not path.strip() or "\0" in path:
            raise InvalidInput("A path must not be empty.")
        try:
            found = (self.root / path).resolve()
        except (OSError, RuntimeError, ValueError):
            raise InvalidInput(f"'{path:.200}' is no path.") from None
        if not found.is_relative_to(self.root):
            # Where the workspace lies is told to nobody.
            raise PermissionDenied(
                f"'{path:.200}' lies outside of the lab's workspace: give a path inside of it."
            )
        return found

    def file(self, path: str) -> Path:
        """`resolve` for a file that must be there.

        Raises:
            NotFound: there is none.
        """
        found = self.resolve(path)
        if not found.is_file():
            raise NotFound(f"There is no file '{path:.200}' in the lab's workspace.")
        return found

    def folder(self, path: str) -> Path:
        """`resolve` for a folder that may be written to; it need not be there yet.

        Raises:
            InvalidInput: it is a file, or the workspace itself.
        """
        found = self.resolve(path)
        if found == self.root:
            raise InvalidInput("Name a folder inside of the workspace, not the workspace itself.")
        if found.exists() and not found.is_dir():
            raise InvalidInput(f"'{path:.200}' is a file: name a folder.")
        return found

    def shown(self, path: Path) -> str:
        """A path inside of the workspace as it is told to clients."""
        return path.relative_to(self.root).as_posix()
