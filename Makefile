# make test     everything that needs no WebUI; makes its own environment in .venv (of each test's parameters every two
#               values together; ALL=1 for all combinations)
# make demo     prompts, plain and W2SD side by side, and the mixtures: pictures and tables in out/demo
# make playground  the accordion over the small model, in a page of its own
# make paper    the paper's analysis at our scale: docs/paper (long: it samples what it does not have yet)
# make checkpoint  the emoji model as A1111 loads it:  make checkpoint DIR=.../models/Stable-diffusion LORAS=.../models/Lora REWARDS=.../models/rewards
# make train    the emoji model's training goes on where it stopped (long; needs npm for the pictures)
# make host     a WebUI for the suite: set up in hosts/ as far as it is not, and started:  make host HOST=a1111
#               (or forge, neo, comfy, several; MIRROR=folder of git mirrors OWNER/NAME.git instead of the network; DIR=folder);
#               twice on two cores, for the suite to be shared out (COPIES=1)
# make host-stop  ends them, or HOST
# make live     the suite against these, or your own:  make live A1111=http://localhost:7860 FORGE=http://... NEO=http://...
#               (each value of each test's parameters at least once; ALL=1 for all their combinations: hours; QUICK=1
#               for the most telling test of each file: minutes)
# make bench    what W2SD costs there

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
HOSTS = $(if $(A1111),--a1111 $(A1111)) $(if $(FORGE),--forge $(FORGE)) $(if $(NEO),--neo $(NEO)) $(if $(COMFY),--comfy $(COMFY))

# One thread: results then do not depend on the machine's cores, and small tensors gain nothing from more.
export OMP_NUM_THREADS = 1
# What is not compiled with the environment is once, when it is first imported.
unexport PYTHONDONTWRITEBYTECODE

# The addresses that were given, or of the hosts that run here.
FOUND = found="$(strip $(HOSTS))"; test -n "$$found" || found=$$($(BIN)/python -m tests.live.hosts $(1) $(AT)) || exit 2; \
	test -n "$$found" || { \
	  echo "Which WebUI? make host HOST=a1111 sets one up and starts it; or give the address of one or more of your own,"; \
	  echo "started with --api and with this extension:"; \
	  echo "  make live A1111=http://localhost:7860 FORGE=http://localhost:7861 NEO=http://localhost:7862"; \
	  exit 2; };
AT = --dir "$(or $(DIR),hosts)"

.PHONY: test lint demo playground paper checkpoint train host host-stop live bench clean

test: lint
	$(BIN)/python -m pytest -q -n auto --maxprocesses=4 $(if $(ALL),--all-combinations)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

demo: $(READY)
	$(BIN)/python -m lib_w2sd.lab demo

playground paper: $(READY)
	$(BIN)/python -m lib_w2sd.lab $@

checkpoint: $(READY)
	$(BIN)/python -m lib_w2sd.lab.emoji checkpoint "$(or $(DIR),out/checkpoint)" $(if $(LORAS),--loras "$(LORAS)") $(if $(REWARDS),--rewards "$(REWARDS)")

train: $(READY)
	nice $(BIN)/python -m lib_w2sd.lab.emoji train

host: $(READY)
	@test -n "$(HOST)" || { echo "Which one? make host HOST=a1111, forge, neo or comfy"; exit 2; }
	@$(BIN)/python -m tests.live.hosts start $(HOST) $(AT) --python "$(PYTHON)" $(if $(MIRROR),--mirror "$(MIRROR)") $(if $(COPIES),--copies $(COPIES))

host-stop: $(READY)
	@$(BIN)/python -m tests.live.hosts stop $(HOST) $(AT)

live: $(READY)
	@$(call FOUND,options --suite) \
	$(BIN)/python -m pytest -q tests/live $$found $(if $(ALL),--all-combinations) $(if $(QUICK),--quick)

bench: $(READY)
	@$(call FOUND,options a1111 forge neo neo-newest) $(BIN)/python -m tests.live.bench $$found

# `pip install .` takes the requirements from pyproject.toml; the package itself is empty.
$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile ".[lab,test]"
	# As pip does, but on all cores, and without what is hardly imported: nearly half of it all.
	-$(BIN)/python -m compileall -q -j 0 -x '/(tests|models|pipelines)/' $(VENV)/lib
	rm -rf build *.egg-info
	touch $@

clean:
	rm -rf $(VENV) out build *.egg-info
