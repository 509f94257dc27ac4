# make repro [DATA=/path/to/file/or/folder] [PRESET=rml2018]        run the pipeline and print what came out
# make test                                              run the tests that take seconds
# make test-all                                          run all tests, those of minutes (marked slow) too
# make ablation [PRESET=rml2016a] [DATA=/path/to/file]   train the noise-aware models and the baselines, and write docs/results/ablation.md
# make sync                                              show in MLflow what DVC took from its run cache
# make ui                                                open the tracked runs in a browser, on this machine only
# make lock                                              resolve requirements.lock anew (needs uv)

PYTHON ?= python3
READY := .venv/.ready
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: repro test test-all ablation sync ui lock
.DELETE_ON_ERROR:

# As it was given, for make and for the shell: a name may hold a $, a quote or spaces.
data := $(value DATA)
quoted_data := '$(subst ','\'',$(data))'

# Before anything is installed, which takes long.
ifneq ($(and $(data),$(filter repro ablation,$(or $(MAKECMDGOALS),repro))),)
ifneq ($(shell [ -e $(quoted_data) ] && echo there),there)
$(error DATA=$(data) is not there; give the path of the HDF5 file of RML2018.01A, of the pickle of RML2016.10a or RML2016.10b, unpacked, or of a folder of labelled recordings)
endif
endif
ifneq ($(filter repro ablation,$(or $(MAKECMDGOALS),repro)),)
ifeq ($(wildcard .git),)
$(error there is no .git here, as after unpacking a ZIP, and DVC needs one: clone the repository with git, or run: git init && git add -A && git commit -m start)
endif
linked := $(shell for folder in data data/raw models metrics plots; do [ ! -L $$folder ] || echo $$folder; done)
ifneq ($(linked),)
$(error $(linked) is a link, behind which DVC tracks nothing: remove it, and put the cache on the other disk, see docs/guide/own_file.md)
endif
endif

# DVC unpickles from its site cache, whose folders it makes writable for everybody. So it lies in one
# that nobody else can enter.
export DVC_SITE_CACHE_DIR ?= $(CURDIR)/.private/dvc
is_private := mkdir -p -m 700 .private && [ ! -L .private ] && [ -O .private ] && \
	ls -ld .private | grep -q '^drwx------[ .]' && echo private
ifneq ($(shell $(is_private)),private)
$(error .private is not a folder of yours that nobody else can enter (mode 700), and DVC would \
	unpickle from it; remove it, or chmod 700 .private if it is yours)
endif

# Afterwards outputs and DVC's cache share one file again: a rerun leaves full copies.
repro: $(READY)
ifneq ($(strip $(data)$(PRESET)),)
	python -m pisces preset $(PRESET) $(if $(data),--data $(quoted_data))
endif
	@python -m pisces forecast
	dvc repro report_data report page
	@dvc checkout --quiet --relink --with-deps report_data report page
	@python -m pisces model-card
	@python -m pisces summary

PYTEST := python -m pytest --numprocesses logical --dist loadfile --no-loadscope-reorder

test: $(READY)
	$(PYTEST) -m "not slow" tests/test_pipeline.py tests  # the longest first

test-all: $(READY)
	$(PYTEST) tests/test_dvc.py tests/test_pipeline.py tests

ablation: $(READY)
	python -m benchmarks.ablation $(if $(PRESET),--preset $(PRESET)) $(if $(data),--data $(quoted_data))

sync: $(READY)
	python -m pisces sync

ui: $(READY)
	python -m pisces ui

$(READY): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than 3.11; name a newer one, e.g. make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@echo "installing into .venv, once; about 6 GB with CUDA"
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@.venv/bin/dvc config --local --quiet core.site_cache_dir "$(CURDIR)/.private/dvc"
	@.venv/bin/python -m pisces.report.page.plots_template .venv/dvc_plots.html
	@.venv/bin/dvc config --local --quiet plots.html_template "$(CURDIR)/.venv/dvc_plots.html"
	@touch $@

lock:
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
		--custom-compile-command "make lock" --output-file requirements.lock
