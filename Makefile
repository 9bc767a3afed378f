# The front door, nothing more: Meson builds, tools/ does the work. Every target starts with tools/setup, which
# installs what is missing (Debian 12, apt) and says so; it is silent and instant when nothing is.

PREFIX ?= /usr/local

.PHONY: all run test bench lint fuzz docs install clean

all: build/plain/build.ninja
	@ninja -C build/plain

build/plain/build.ninja:
	@tools/setup build
	@meson setup build/plain -Dprefix=$(PREFIX)

run:            # authorization server, broker, a sensor and a dashboard, here and now; DEMO=once ends by itself
	@tools/setup build
	@tools/build plain
	@tools/demo $(DEMO)

test:           # everything that must hold before a change lands; ends with "N passed, N failed"
	@tools/setup test
	@tools/test $(STAGES)

lint:
	@tools/setup test
	@tools/test lint

fuzz:           # each parser's target for SECONDS (default 60)
	@tools/setup test
	@tools/test fuzz --seconds=$(or $(SECONDS),60)

bench:
	@tools/setup bench
	@tools/build release
	@bench/run

docs:           # the parts of docs/ that come from the source
	@tools/setup build
	@tools/build plain
	@tools/docs

install:
	@tools/setup build
	@tools/build release -Dprefix=$(PREFIX)
	@meson install -C build/release

clean:
	@rm -rf build
