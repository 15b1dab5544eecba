# The front door. Each target is one line of meaning; the work is in tools/ and test/run.
# SPDX-License-Identifier: Apache-2.0

BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 60
export BUILD FUZZ_SECONDS

.PHONY: help setup build up down test bench lint format sanitize tsan fuzz install clean
.DEFAULT_GOAL := help

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

build: ## compile into build/ (programs: build/selvedge, build/libexec/selvedge/*)
	@tools/build $(BUILD)

up: ## install packages, compile, start a center and an edge on this machine (state: ./run)
	@tools/setup run
	@tools/build $(BUILD)
	@$(BUILD)/selvedge up

down: ## stop what `make up` started; remove its containers, networks and mounts
	@$(BUILD)/selvedge down

test: ## every test: unit, corpora, end to end; the last line counts them
	@tools/setup run test
	@test/run

bench: ## every measurement, with medians
	@tools/setup run test
	@tools/bench

lint: ## format, braces, layers, banned functions, cppcheck, gcc and clang without a warning, scripts, links
	@tools/setup lint
	@tools/lint/run

format: ## rewrite the C files as .clang-format says
	@tools/lint/format --fix

sanitize: ## the whole test run over an ASan and UBSan build (build-asan/)
	@tools/setup run test
	@BUILD=build-asan test/run

tsan: ## the unit tests over a ThreadSanitizer build (build-tsan/)
	@tools/setup run test
	@BUILD=build-tsan test/run unit

fuzz: ## every fuzz target for FUZZ_SECONDS (60) seconds each (build-fuzz/)
	@tools/setup lint
	@tools/fuzz

install: ## copy programs, kinds and documents to DESTDIR and PREFIX (/usr/local)
	@tools/install $(BUILD) "$(DESTDIR)$(PREFIX)"

clean: ## remove every build folder and cache; state in ./run stays
	@rm -rf build build-* .cache
