"""Texts and pages that are rendered from templates/*.j2."""

from typing import Any

import jinja2

from fwbuild.files import data_dir


def render(name: str, **values: Any) -> str:
    """A Jinja2 template of templates/."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(data_dir("templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=jinja2.select_autoescape(["html.j2"], default=False),  # the rest is plain text
    )
    return environment.get_template(name).render(**values)
