# `make demo` runs the whole chain on data that it draws; `make test` runs the tests. Both install into .venv first.
PYTHON ?= python3
# Any torch from 2.6 on will do: make demo TORCH=torch==2.6.0
TORCH ?= torch==2.13.0
BIN := .venv/bin
DEMO := work_dirs/demo

.PHONY: help demo test test-gpu test-tflite fuzz kill docs install
help:
	@echo 'make install   a virtual environment in .venv with everything that is needed'
	@echo 'make demo      pretrain, fine-tune, evaluate and draw on self-made data, 10 to 13 minutes on two cores'
	@echo 'make test      lint and tests'
	@echo 'make docs      the documentation as a site, in site/'
	@echo 'make test-gpu      tests of training and detection on a GPU, and the speed of steps there'
	@echo 'make test-tflite   tests of TFLite files, with a gigabyte of packages in .venv-tflite'
	@echo 'make fuzz      20,000 mutated inputs for each reader of files'
	@echo 'make kill      20 kills of each kind of run, every tensor compared with an undisturbed one'

install: .venv/installed

.venv/installed: requirements.txt setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt -e '.[dev,figures,export]'
	@touch $@

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal

test-gpu: install
	$(BIN)/python -m pytest -q tests/test_gpu.py
	$(BIN)/python tools/benchmark_train.py --arch mobilenetv2_tiny mobilenetv2_w0.35 --batch 128 1024 \
	    --precision float32 tf32 bf16 --out work_dirs/speed_gpu.json

# An environment of its own: the packages are large, and pinned.
.venv-tflite/installed: requirements.txt setup.py
	$(PYTHON) -m venv .venv-tflite
	.venv-tflite/bin/pip install --quiet --disable-pip-version-check $(TORCH)
	.venv-tflite/bin/pip install --quiet --disable-pip-version-check --pre -r requirements.txt -e '.[dev,export,tflite]'
	@touch $@

test-tflite: .venv-tflite/installed
	OMP_NUM_THREADS=1 .venv-tflite/bin/python -m pytest -q tests/test_tflite.py

.venv-docs/installed: docs/requirements.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/pip install --quiet --disable-pip-version-check -r docs/requirements.txt
	@touch $@

docs: .venv-docs/installed
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict

fuzz: install
	MMNETAUG_FUZZ=20000 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -s -W ignore tests/test_fuzz.py

kill: install
	MMNETAUG_KILLS=20 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -v -s -W ignore tests/test_kill.py

# Every step is a file, so that `make demo` goes on where it was stopped.
demo: $(DEMO)/benchmark/benchmark.png $(DEMO)/vis/200003.jpg
	@echo
	@cat $(DEMO)/benchmark/benchmark.md
	@echo
	@echo 'Picture (AP50 against MACs):  $(DEMO)/benchmark/benchmark.png'
	@echo 'Table:                        $(DEMO)/benchmark/benchmark.md (also .csv and .json)'
	@echo 'Detections:                   $(DEMO)/vis/200003.jpg'
	@echo 'A demo of this size shows the pipeline, not the effect: with minutes of training on a few thousand'
	@echo 'drawn images, which of the two comes out ahead is chance. docs/results.md says what longer runs show.'

data/shapes/generator.json: | install
	$(BIN)/python tools/make_data.py shapes --out data/shapes --images 900 100 --size 192 \
	    --object-scale 0.2 0.6 --clutter 2 --cls-images 200 25

$(DEMO)/pretrain_%/export.pth: data/shapes/generator.json
	$(BIN)/python tools/pretrain_cls.py configs/pretrain/$*_mbv2_tiny_shapes.py --resume --work-dir $(@D)

$(DEMO)/ssdlite_%/result.json: $(DEMO)/pretrain_%/export.pth
	$(BIN)/python tools/train.py configs/det/ssdlite_baseline_light_voc.py --data-root data/shapes \
	    --arch mobilenetv2_tiny --size 192 --epochs 14 --batch-size 8 --lr 4e-3 --pretrained $< --resume \
	    --work-dir $(@D)

$(DEMO)/benchmark/benchmark.png: $(DEMO)/ssdlite_baseline/result.json $(DEMO)/ssdlite_netaug/result.json
	$(BIN)/python tools/benchmark.py configs/det/ssdlite_netaug_voc.py --data-root data/shapes --out $(@D) \
	    $(DEMO)/ssdlite_baseline/export.pth $(DEMO)/ssdlite_netaug/export.pth --names baseline NetAug

$(DEMO)/vis/200003.jpg: $(DEMO)/ssdlite_baseline/result.json
	$(BIN)/python tools/infer.py data/shapes/VOCdevkit/VOC2007/JPEGImages/200003.jpg \
	    --checkpoint $(DEMO)/ssdlite_baseline/export.pth --out-dir $(DEMO) --score-thr 0.2

.PRECIOUS: $(DEMO)/pretrain_%/export.pth $(DEMO)/ssdlite_%/result.json
