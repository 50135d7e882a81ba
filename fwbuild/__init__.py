"""fwbuild: builds a tiny firmware image for QEMU/KVM, and shows what it does.

The names below are the public API; docs/python.md has an example of each. They are imported when
they are first used, so that `import fwbuild` costs nothing.
"""

TYPE_CHECKING = False  # as type checkers know it; typing itself takes long to import

if TYPE_CHECKING:
    from fwbuild.api import (
        Boot,
        Emulation,
        ExitCode,
        FwbuildError,
        Guest,
        Image,
        Report,
        State,
        Template,
        Verdict,
        build,
        emulate,
        inspect,
        judge,
        observe,
        run,
        verify,
        write,
    )
    from fwbuild.version import __version__
else:

    def __getattr__(name: str) -> object:
        """A name of the API, from fwbuild/api.py, or the version."""
        if name not in __all__:
            raise AttributeError(f"module 'fwbuild' has no attribute '{name}'")
        from importlib import import_module  # noqa: PLC0415 (takes longer than all else here)

        home = import_module("fwbuild.version" if name == "__version__" else "fwbuild.api")
        globals()[name] = getattr(home, name)
        return globals()[name]


__all__ = [
    "Boot",
    "Emulation",
    "ExitCode",
    "FwbuildError",
    "Guest",
    "Image",
    "Report",
    "State",
    "Template",
    "Verdict",
    "__version__",
    "build",
    "emulate",
    "inspect",
    "judge",
    "observe",
    "run",
    "verify",
    "write",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
