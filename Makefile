# The two commands of the README, and what developers use between them.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
DEBIAN := binutils busybox-static bzip2 chromium cpio fish gdb libvirt-clients libvirt-daemon \
	libvirt-daemon-driver-qemu lz4 lzop mandoc qemu-system-x86 xz-utils zsh zstd

COUNT ?= 300
SEED ?= 1
SECONDS ?= 60
QEMU_TESTS = qemu

.PHONY: all help run test lint unit qemu versions coverage messages mutation fuzz fuzz-files boots boot-time docs recordings release needs clean

# Build the image out/bios.bin (the default).
all: out/bios.bin

# Each target, in the words of the comment above it.
help:
	@awk '/^# / { said = said ? said " " substr($$0, 3) : substr($$0, 3); next } \
		/^[a-z-]+:/ && said { split($$0, name, ":"); printf "%-11s %s\n", name[1], said } \
		!/^[A-Z_]+ *[?:]?=/ { said = "" }' Makefile

# A venv with fwbuild and its developer tools, made again when the dependencies change.
$(VENV)/.made: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

out/bios.bin: $(VENV)/.made $(wildcard asm/*/*.s fwbuild/*.py fwbuild/*/*.py templates/*)
	$(BIN)/fwbuild build --out $@

# Build, emulate the handoff of the test kernel, and boot it in QEMU where there is one.
run: out/bios.bin
	$(BIN)/fwbuild verify --bios out/bios.bin
	@if command -v qemu-system-x86_64 >/dev/null; then \
		$(BIN)/fwbuild run --bios out/bios.bin --timeout 60; \
	else \
		echo "No qemu-system-x86_64 here: the emulated handoff above is all there is to see."; \
	fi

# Lint, unit tests, the tests on the QEMU on PATH, and those on Debian's others that depend on QEMU's
# version; root also gets the Debian packages they need.
test: QEMU_TESTS = qemu and not long
test: needs lint unit qemu versions

# What only the tests need. Root installs it; anybody else is told what to install.
needs: $(VENV)/.made
	@missing=$$(dpkg-query -W -f '$${db:Status-Status} $${Package}\n' $(DEBIAN) 2>&1 | grep -v '^installed' || true); \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ]; then \
		apt-get update -qq || true; apt-get install -qq -y --no-install-recommends $(DEBIAN) >/dev/null; \
	elif [ -n "$$missing" ]; then \
		echo "Some tests need Debian packages: apt-get install $(DEBIAN)"; \
	fi

# Rules, format and types of the Python.
lint: $(VENV)/.made
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy tests

# The tests that need no QEMU.
unit: $(VENV)/.made
	$(BIN)/pytest -q -n auto -m 'not qemu'

# The tests that boot QEMU: the one on PATH, or one of Debian's by QEMU=10 or QEMU=11.
qemu: $(VENV)/.made
	$(if $(QEMU),set -e; FWBUILD_QEMU=$$($(BIN)/python -m tests.support.qemus $(QEMU)); export FWBUILD_QEMU;) \
		$(BIN)/pytest -q -n 2 -m '$(QEMU_TESTS)'

# The tests that depend on QEMU's version, with Debian's other QEMUs.
versions: $(VENV)/.made
	for qemu in $$($(BIN)/python -m tests.support.qemus); do \
		FWBUILD_QEMU=$$qemu $(BIN)/pytest -q -n 2 -m versions || exit 1; \
	done

# The lines and branch directions of the assembly that the emulated tests take; sources in out/coverage/asm.
coverage: $(VENV)/.made
	rm -rf out/coverage
	FWBUILD_COVERAGE=$(CURDIR)/out/coverage $(BIN)/pytest -q -n auto -m 'not qemu' tests/unit
	$(BIN)/python -m tests.support.coverage.report out/coverage

# The places that raise an error: does a test reach each? It runs all tests, seen by coverage.py.
messages: $(VENV)/.made
	mkdir -p out
	COVERAGE_FILE=out/.coverage $(BIN)/pytest -q -n 2 -m 'not long' --cov=fwbuild --cov-report=json:out/messages.json
	$(BIN)/python -m tests.support.messages out/messages.json

# COUNT small changes of the assembly by SEED: do the tests notice? It needs what `make coverage` leaves.
mutation: $(VENV)/.made
	@test -d out/coverage || $(MAKE) coverage
	$(BIN)/python -m tests.support.mutation.run out/coverage $(COUNT) $(SEED)

# SECONDS of made-up files for all that reads one, led by the coverage of the Python; installs atheris.
fuzz-files: $(VENV)/.made
	$(BIN)/pip install --quiet --disable-pip-version-check atheris
	$(BIN)/python -m tests.support.file_fuzz -max_total_time=$(SECONDS)

# Lies of the host, drawn by SEED for SECONDS; what is found goes to out/fuzz, and INPUT=FILE runs it again.
fuzz: $(VENV)/.made
	$(BIN)/python -m tests.support.fuzz.run --seconds $(SECONDS) --seed $(SEED) $(if $(INPUT),--input $(INPUT))

# COUNT boots of the test kernel in QEMU, each of a guest drawn by a seed from SEED on.
boots: $(VENV)/.made
	$(BIN)/python -m tests.support.boots $(COUNT) $(SEED)

# docs/boot-time-tables.md, measured anew, and a page of pictures; takes three quarters of an hour.
CLOUD := .cache/debian/bookworm/linux-image-cloud-amd64/files/boot
VMLINUX ?= .cache/vmlinux/cloud
BZIMAGE ?= $(CLOUD)/vmlinuz-*-amd64
RUNS ?= 7
LINE_RUNS ?= 60
QBOOT ?= /usr/share/qemu/qboot.rom
boot-time: $(VENV)/.made
	$(BIN)/python -m tests.support.debian
	$(BIN)/fwbuild bench --kernel $(VMLINUX) --kernel $(BZIMAGE) --runs $(RUNS) --report out/boot.html
	$(BIN)/fwbuild bench --kernel $(VMLINUX) --kernel $(BZIMAGE) --runs $(LINE_RUNS) --accel tcg \
		--to linux_start_kernel --no-peers --bios $(QBOOT) --no-counts --out out/bench-line
	$(BIN)/fwbuild cost --grow --kernel $(VMLINUX) --json > out/bench/growth.json
	$(BIN)/python -m fwbuild.bench.document out/bench/results.json out/bench-line/results.json \
		out/bench/growth.json

# The documents that are made from the code, the man page and the shells' completion.
docs: $(VENV)/.made
	$(BIN)/python -m fwbuild.docs
	$(BIN)/python -m fwbuild.share

# What the emulated machine is made from, taken again from the QEMU on PATH and Debian's others.
recordings: $(VENV)/.made
	for qemu in qemu-system-x86_64 $$($(BIN)/python -m tests.support.qemus); do \
		FWBUILD_QEMU=$$qemu $(BIN)/python -m fwbuild.qemu.rerecord || exit 1; \
	done

# A release in dist/: sdist, wheel, images and their sums, checked in an empty venv.
release: $(VENV)/.made
	$(BIN)/python -m tests.support.release

# Remove the venv and all that was built.
clean:
	rm -rf out dist $(VENV)
