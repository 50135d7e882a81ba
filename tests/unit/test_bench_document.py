"""docs/boot-time-tables.md, from results that are made up."""

import json
import re
from pathlib import Path

import pytest

from fwbuild.bench import document
from fwbuild.bench.result import Result
from fwbuild.docs import DOCS
from tests.support.results import result

GROWTH = [
    {"machine": "pc", "what": "CPUs", "value": value, "image": image, "accesses": a,
     "instructions": i}
    for value, image, a, i in (
        ("1", "fwbuild <x>", 25, 9604), ("1", "/usr/share/q.rom", 247, 62739),
        ("8", "fwbuild <x>", 25, 9700), ("8", "/usr/share/q.rom", 247, 63000),
    )
]  # fmt: skip


def under(accel: str, rounds: int) -> Result:
    """The same as if under another accelerator, and so often."""
    found = result()
    for row in found.rows:
        row.accel = accel
        row.runs = [row.runs[0]] * rounds if row.runs else []
    return found


def test_document() -> None:
    text = document.document(result(), under("kvm", 9), GROWTH)
    assert "| vmlinux | pc | TCG | qboot.rom | 2.00 ms | 8.00 ms | 4.00 (4.00-4.00) |" in text
    assert "| vmlinux | pc | TCG | broken.bin | 2.00 ms | - | - | - |" in text
    # 50 - 40.5 ms and 6 ms more
    for accel, rounds in (("TCG", 3), ("KVM", 9)):
        firmware = "2.00 ms | 8.00 ms | 4.00 (4.00-4.00)"
        line = f"| vmlinux | pc | {accel} | qboot.rom | {rounds} | {firmware} | 9.50 ms | 15.5 ms |"
        assert line in text
    assert "| fw_do_boot | 43.50 (+2.00) | 49.50 (+8.00) | - |" in text
    assert "| acpi | 1.500 | 3 | 8143 |" in text
    assert "| pc | CPUs | 8 | 25 / 9700 | 247 / 63000 |" in text
    assert "broken.bin does not boot this kernel here: nothing more came" in text
    assert "    qemu-system-x86_64 -M pc -append 'a b'\n" in text
    assert "/usr/" not in text


def test_the_bench_of_more_rounds_counts() -> None:
    text = document.document(result(), under("tcg", 9), GROWTH)
    assert "| qboot.rom | 9 | 2.00 ms | 8.00 ms |" in text
    assert "| qboot.rom | 3 |" not in text


def test_tables_have_no_holes() -> None:
    """A table's lines follow each other and have as many cells as its head."""
    lines = document.document(result(), under("tcg", 9), GROWTH).splitlines()
    heads = [i for i, line in enumerate(lines) if line.startswith("|---")]
    assert len(heads) == 5
    for i in heads:
        cells = lines[i].count("|")
        assert lines[i - 1].startswith("|") and lines[i - 1].count("|") == cells
        body = lines[i + 1 :]
        rows = body[: body.index("")]
        assert rows and all(row.startswith("|") and row.count("|") == cells for row in rows)


def test_main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "results.json").write_text(result().to_json())
    (tmp_path / "line.json").write_text(under("tcg", 9).to_json())
    (tmp_path / "growth.json").write_text(json.dumps(GROWTH))
    monkeypatch.setattr(document, "DOCS", tmp_path / "docs")
    files = [str(tmp_path / f"{name}.json") for name in ("results", "line", "growth")]
    monkeypatch.setattr("sys.argv", ["document", *files])
    document.main()
    written = (tmp_path / "docs" / "boot-time-tables.md").read_text()
    assert written == document.document(result(), under("tcg", 9), GROWTH)


def test_what_is_said_of_the_measurements_is_in_them() -> None:
    """docs/boot-time.md's table is a choice of boot-time-tables.md's numbers."""
    measured = (DOCS / "boot-time-tables.md").read_text()
    told = (DOCS / "boot-time.md").read_text()
    rows = [line for line in told.splitlines() if re.match(r"\| (vmlinux|bzImage) \|", line)]
    assert len(rows) == 6
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        kernel, machine, ours, *ratios, kvm, tcg = cells
        lines = [line for line in measured.splitlines() if f"| {kernel} | {machine} |" in line]
        under = {name: [line for line in lines if f"| {name} |" in line] for name in ("KVM", "TCG")}
        assert any(f"| qboot.rom | {ours} |" in line for line in under["KVM"])
        for accel, ratio in zip(("KVM", "TCG", "TCG"), ratios, strict=True):
            assert any("| qboot.rom |" in line and ratio in line for line in under[accel]), ratio
        for accel, ratio in (("KVM", kvm), ("TCG", tcg)):
            found = re.findall(r"SeaBIOS \|.*?([\d.]+) \(", "\n".join(under[accel]))
            assert float(ratio) in {round(float(f), 1 if "." in ratio else None) for f in found}
