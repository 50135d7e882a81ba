"""The meanings of a name: a symbol, a routine, a stop, a file of fw_cfg, a template's key."""

import difflib
from collections.abc import Iterator

from fwbuild.assembler.source import Fragment
from fwbuild.explain import codes
from fwbuild.explain.meaning import Meaning
from fwbuild.firmware import file_names, layout, options, stop_codes
from fwbuild.firmware.declared import declared
from fwbuild.image.build import Image, all_symbols


def names(text: str, image: Image) -> Iterator[Meaning]:
    """The meanings of a name, as the sources, the map or QEMU have it."""
    for fragment in image.linked.fragments:
        if fragment.name == text:
            yield _fragment(fragment, image)
    value = all_symbols(image.template).get(text)
    if value is not None:
        facts = {"decimal": str(value), "declared": declared(text)}
        yield Meaning(kind="symbol of the assembly", what=f"{value:#x}", facts=facts)
    if stop := stop_codes.BY_NAME.get(text.rpartition(".")[2]):
        yield codes.of_stop(stop)
    for region in layout.REGIONS:
        if region.name == text:
            what = {"range": f"{region.base:#x}-{region.end - 1:#x}, {region.size} bytes"}
            yield Meaning(kind="region", what=region.what, facts=what)
    if text in file_names.CONTENTS:
        yield Meaning(kind="file of fw_cfg", what=file_names.CONTENTS[text])
    if option := options.BY_NAME.get(text):
        facts = {"value": option.expected, "here": str(image.template.values[text])}
        yield Meaning(kind="key of a template", what=option.what, facts=facts)


def near(text: str, image: Image) -> list[str]:
    """Names that look like an unknown one, the likeliest first."""
    known = [f.name for f in image.linked.fragments]
    known += [*all_symbols(image.template), *stop_codes.BY_NAME, *file_names.CONTENTS]
    return difflib.get_close_matches(text, known, 3)


def _fragment(fragment: Fragment, image: Image) -> Meaning:
    contract, linked = fragment.contract, image.linked
    address, size = linked.addresses[fragment.name], linked.size(fragment.name)
    facts = {
        "at": f"{address:#x}, {size} bytes",
        "line": f"{fragment.file}:{fragment.line}",
    }
    if contract.kind == "routine":
        facts |= {
            "mode": f"{contract.bits} bits",
            "in": ", ".join(contract.inputs) or "-",
            "out": ", ".join(contract.outputs) or "-",
            "clobbers": ", ".join(sorted(contract.clobbers)) or "-",
            "reads": ", ".join(sorted(contract.reads)) or "-",
            "writes": ", ".join(sorted(contract.writes)) or "-",
        }
    return Meaning(
        kind=f"{contract.kind} of the image",
        what=contract.title,
        facts=facts | {"source": contract.source},
    )
