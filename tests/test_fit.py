"""Which detectors fit a chip."""

import json
import runpy
import sys

import pytest
from helpers import ROOT, build_detector

from mmnetaug import InputError, count_macs
from mmnetaug.apis.fit import fit, fit_table, parse_amount, parse_size
from mmnetaug.apis.train import describe_detector
from mmnetaug.boards import board_budget
from mmnetaug.config_files import heads
from mmnetaug.evaluation.memory import table_bytes


def test_amounts_and_boards():
    assert parse_amount('512K', '--sram') == parse_amount('0.5m', '--sram') == 524288
    assert parse_amount('100M', '--macs', 1000) == 100_000_000 and parse_amount('320000', '--sram') == 320_000
    assert board_budget('stm32f746') == (320 * 1024, 1024 * 1024)
    for wrong in ('', 'much', 'abc', '-5K', '0', '0.0K', '5T', '1e6'):
        with pytest.raises(InputError, match=r'--sram .*: expected a number above 0'):
            parse_amount(wrong, '--sram')
    with pytest.raises(InputError, match=r'board Arduino is not known: expected one of STM32F746, .*or --sram'):
        board_budget('Arduino')


def test_rows_are_what_a_training_would_say():
    rows = fit(
        sram=230_000, heads_=['ssdlite'], archs=['mobilenetv2_tiny', 'mobilenetv3_w0.35'], sizes=[96], num_classes=3
    )
    by_arch = {row['arch']: row for row in rows}
    assert rows == sorted(rows, key=lambda row: -row['macs'])
    tiny = by_arch['mobilenetv2_tiny']
    assert tiny['peak_memory'] == 230_592 and not tiny['fits'] and by_arch['mobilenetv3_w0.35']['fits']
    detector = build_detector('ssdlite', size=96)
    trained = describe_detector(detector, 96)
    assert {name: tiny[name] for name in trained} == trained
    assert trained['macs'] == count_macs(detector, (3, 96, 96))
    assert trained['head_share'] == 1 - count_macs(detector.backbone, (3, 96, 96)) / trained['macs']
    assert 'mobilenetv2_tiny' not in fit_table(rows) and '| ssdlite | mobilenetv3_w0.35 | 96 |' in fit_table(rows)


@pytest.mark.parametrize(
    'wrong, message',
    [
        ({}, 'no budget: expected a --board, or --sram'),
        ({'sram': 1024}, r'none of 1 detectors fits: the closest is ssdlite .* needs \d+K of SRAM, .*--arch'),
        ({'sram': 1 << 20, 'heads_': ['ssd']}, 'head ssd is not known: expected one of gfl, rtmdet, ssdlite, yolov3'),
        ({'sram': 1 << 20, 'sizes': [100]}, 'image size 100: expected a multiple of 32'),
        ({'sram': 1 << 20, 'archs': ['mobilenet']}, 'unknown architecture'),
        ({'sram': 1 << 20, 'num_classes': 0}, 'number of classes is 0'),
        ({'sram': 0}, 'sram is 0: expected a whole number of at least 1'),
        ({'macs': -1}, 'macs is -1'),
        ({'flash': '1M'}, "flash is '1M'"),
        ({'sram': 1 << 20, 'archs': []}, 'nothing to try'),
    ],
)
def test_mistakes(wrong, message):
    with pytest.raises(InputError, match=message):
        fit(**{'heads_': ['ssdlite'], 'archs': ['mobilenetv2_tiny'], 'sizes': [96], **wrong})


def test_gray_images_of_small_cameras():
    size = parse_size('160x120')
    assert size == (160, 120) and parse_size('96') == 96
    with pytest.raises(InputError, match='--size 160x: expected a side in pixels, or width and height, such as'):
        parse_size('160x')
    for head in ('ssdlite', 'yolov3', 'gfl'):
        (row,) = fit(sram=1 << 20, heads_=[head], archs=['mobilenetv2_tiny'], sizes=[size], num_classes=3, gray=True)
        expected = describe_detector(build_detector(head, size=size, backbone__in_channels=1), (160, 128))
        assert {name: row[name] for name in expected} == expected
    assert '| gfl | mobilenetv2_tiny | 160x120 |' in fit_table([row])


@pytest.mark.parametrize('head', ['ssdlite', 'yolov3', 'gfl'])
def test_one_network_serves_all_sizes_that_it_fits(head):
    """SSDLite has more levels for larger images; of the others the size moves only the anchors."""
    rows = fit(sram=1 << 30, heads_=[head], archs=['mobilenetv2_w0.1'], sizes=[96, 256], num_classes=3)
    for row in rows:
        expected = describe_detector(build_detector(head, 'mobilenetv2_w0.1', size=row['size']), row['size'])
        assert {name: row[name] for name in expected} == expected


def test_every_head_of_the_configs_is_known():
    assert {'gfl', 'rtmdet', 'ssdlite', 'yolov3'} <= set(heads())


def test_tool(tmp_path, monkeypatch, capsys):
    out = tmp_path / 'fit.json'
    arguments = ['--board', 'STM32F746', '--head', 'ssdlite', '--arch', 'mobilenetv2_tiny', '--size', '96', '128']
    monkeypatch.setattr(sys, 'argv', ['tools/fit.py', *arguments, '--out', str(out)])
    runpy.run_path(str(ROOT / 'tools/fit.py'), run_name='__main__')
    record = json.loads(out.read_text())
    assert record['budget'] == {
        'sram': 327680,
        'flash': 1048576,
        'macs': None,
        'num_classes': 20,
        'padding': 'symmetric',
        'gray': False,
    }
    assert [(row['size'], row['fits']) for row in record['detectors']] == [(128, False), (96, True)]
    assert '1 of 2 detectors fit' in capsys.readouterr().out


def test_budgets_hold_the_tables_too_and_are_limits():
    one = {'heads_': ['ssdlite'], 'archs': ['mobilenetv2_w0.1'], 'sizes': [96], 'num_classes': 3}
    (row,) = fit(sram=1 << 30, **one)
    memory, file = table_bytes(build_detector('ssdlite', 'mobilenetv2_w0.1', size=96))
    assert row['sram'] == row['peak_memory'] + memory and row['flash'] == row['weight_bytes'] + file
    for name in ('sram', 'flash', 'macs'):
        assert fit(**{name: row[name]}, **one)[0]['fits']
        with pytest.raises(InputError, match='none of 1 detectors fits'):
            fit(**{name: row[name] - 1}, **one)
    padded = describe_detector(build_detector('ssdlite', 'mobilenetv2_w0.1', size=96, backbone__padding='tf'), 96)
    (tf,) = fit(sram=1 << 30, padding='tf', **one)
    assert tf['peak_memory'] == padded['peak_memory'] < row['peak_memory']
