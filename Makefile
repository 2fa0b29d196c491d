# rmaplab: `make demo` and `make test` are all one needs; each sets up .venv first.
#
#   make lint           ruff, mypy --strict
#   make prove          check the proofs (installs Debian's coq where it is missing)
#   make binary         the compiled C core against the definitions, for all inputs; see docs/proofs.md for what it leaves undecided
#   make stress         race the C core for a minute
#   make race         every execution of the C core's locking under seven memory models, JOBS at a time
#   make litmus       the kernel's own litmus tests, LITMUS=.../tools/memory-model/litmus-tests, and ours as such; by herd7 too, if installed
#   make litmus-kernel  the kernel's own alone: half a second
#   make bench          measure the C core's schemes against each other
#   make differential   hold the model against this kernel: N random programs from SEED, JOBS at a time
#   make kernels        the same in guests: N (500) random programs from SEED on each of KERNELS, JOBS guests at a time each; -j2: both at once
#   make findings       build and run the programs in findings/, as root: exit code 1 shows the finding
#   make mutants        plant faults in the model, one at a time, and print which are found
#   make hunt           look for programs that reach more of the model, for HUNT seconds; they are kept in tests/model/corpus.jsonl
#   make fuzz           change what /proc and traces say at random for FUZZ seconds; no reader may do worse than one line
#   make kernel-test    KERNEL (6.12 or 7.3) patched, built, booted: survivors, mm/cow; and 6.12 against the model
#   make kernel-check   the patched files of 6.12 and 7.3 compile without a warning, a small folio pays nothing; a bare 7.3 boots: COW table
#   make docs           the site, into build/site
#   make packages      wheel and sdist, installed by every Python from 3.11 on that is here, with and without gcc
#   make figures        the figures of docs/; MEASURED names results of rmaplab bench --json and rmaplab kernel bench --json for the prices
#   make man            the manual page, build/rmaplab.1, made from the help
#   make install-core   the C headers and their pkg-config file into PREFIX (/usr/local), below DESTDIR
PYTHON ?= python3
N      ?= 2000
SEED   ?= 1
JOBS   ?= 1
FUZZ   ?= 600
HUNT   ?= 300
KERNEL ?=
PREFIX ?= /usr/local
KERNELS ?= 6.12 7.3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: kernels findings demo test lint prove binary stress race litmus litmus-kernel bench fuzz differential mutants hunt kernel-tools kernel-check kernel-test docs figures man packages install-core venv clean

venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt scripts/rmaplab $(wildcard setup.py core/*.h core/lib/* src/rmaplab/machine/live/workers/*.c) src/rmaplab/core/build_core.py
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt setuptools wheel cffi
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[dev]'
	@touch $@

demo: venv
	@$(BIN)/rmaplab demo

test: venv
	$(BIN)/python -m pytest -n 2 --dist loadgroup

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

prove:
	$(MAKE) --no-print-directory -C proofs prove

binary: venv
	$(MAKE) --no-print-directory -C proofs compiled
	$(BIN)/python proofs/binary

stress: venv
	$(BIN)/rmaplab stress --seconds 60

race: venv
	$(BIN)/rmaplab race --seconds 600 --jobs $(JOBS)

LITMUS_TESTS = $(or $(LITMUS),$(shell $(BIN)/python -c 'from rmaplab.kernels.build import tree; print(tree("7.3"))')/tools/memory-model/litmus-tests)

litmus-kernel: venv
	$(BIN)/python -m rmaplab.verify.race.litmus "$(LITMUS_TESTS)"

litmus: venv
	$(BIN)/python -m rmaplab.verify.race.litmus "$(LITMUS_TESTS)"
	$(BIN)/rmaplab race --export litmus --into build/litmus --seconds 5
	$(BIN)/python -m rmaplab.verify.race.litmus build/litmus | tail -1
	if command -v herd7 >/dev/null; then $(BIN)/python -m rmaplab.verify.race.herd "$(LITMUS_TESTS)/.." build/litmus; fi
	if command -v herd7 >/dev/null; then $(BIN)/python -m rmaplab.verify.race.machine_shapes build/shapes; fi

bench: venv
	$(BIN)/rmaplab bench

fuzz: venv
	@$(BIN)/python -c "import atheris" 2>/dev/null || $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt atheris
	RUST_BACKTRACE=0 $(BIN)/python tests/hostile/fuzz.py --seconds $(FUZZ) $(if $(FUZZ_SEED),--seed $(FUZZ_SEED))

differential: venv
ifeq ($(KERNEL),)
	$(BIN)/python -m rmaplab.machine.differential -n $(N) --seed $(SEED) --jobs $(JOBS)
else
	$(BIN)/rmaplab kernel test --kernel $(KERNEL) --only differential -n $(N) --seed $(SEED)
endif

kernels: $(addprefix in-,$(KERNELS))

in-%: venv kernel-tools
	$(BIN)/rmaplab differential --guest $* -n $(if $(filter file,$(origin N)),500,$(N)) --seed $(SEED) --jobs $(JOBS)

findings:
	$(MAKE) --no-print-directory -C findings check

kernel-tools:
	.ci/kernel-tools

kernel-test: venv kernel-tools
	$(BIN)/rmaplab kernel test --kernel $(or $(KERNEL),7.3) --scheme moments-flag --only cow,selftests --programs cow
	$(BIN)/rmaplab kernel test --kernel 6.12 --only differential -n 10

kernel-check: venv kernel-tools
	RMAPLAB_BUILD_KERNELS=1 $(BIN)/python -m pytest -n 0 -rs --timeout 2400 tests/kernels/test_patched_files.py tests/kernels/test_patched_kernel.py -k "not storm"

mutants: venv
	cd tests/model && PYTHONPATH=. ../../$(BIN)/python -m faults --jobs $(JOBS)

hunt: venv
	$(BIN)/python -m rmaplab.machine.differential.hunt --corpus tests/model/corpus.jsonl --seconds $(HUNT) --seed $(SEED)

docs: venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt 'mkdocs>=1.6' 'mkdocs-material>=9.6' 'mkdocstrings[python]>=0.30'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

figures: venv
	$(BIN)/python docs/site/figures.py $(MEASURED)

man: venv
	@mkdir -p build
	$(BIN)/rmaplab --man > build/rmaplab.1

packages: venv
	.ci/packages

CORE_INCLUDE := $(DESTDIR)$(PREFIX)/include/rmaplab
PKGCONFIG    := $(DESTDIR)$(PREFIX)/lib/pkgconfig

install-core:
	install -d $(CORE_INCLUDE) $(PKGCONFIG)
	install -m 644 core/*.h $(CORE_INCLUDE)
	sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)|' core/rmaplab-core.pc.in > $(PKGCONFIG)/rmaplab-core.pc

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
