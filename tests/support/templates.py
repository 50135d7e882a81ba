"""Which of the packaged templates a test is about."""

from fwbuild.image import template


def for_kernels() -> list[str]:
    """The templates of images that enter a kernel of QEMU's."""
    return [
        name
        for name in template.names()
        if template.Template.load(name).words("protocols") != ("preloaded",)
    ]
