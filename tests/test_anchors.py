"""Which objects have an anchor of the head, before it is trained."""

import re

import numpy as np
import pytest
import torch
from helpers import build_detector, detector_config, write_photographs

from mmnetaug.apis.anchors import Anchors, anchor_advice, describe_anchors, head_anchors
from mmnetaug.apis.config import read_config
from mmnetaug.apis.image_sizes import size_options
from mmnetaug.apis.train import train_detector
from mmnetaug.cli.run import run_command
from mmnetaug.datasets.objects import Objects, resized_objects


def model_of(head, size=320, **generator):
    config = read_config(f'{head}_baseline_voc', 'det')
    config.merge_from_dict(size_options(config, size))
    config.model.bbox_head.anchor_generator.update(generator)
    return config.model


@pytest.mark.parametrize(('head', 'size', 'least'), [('ssdlite', 224, 0.4), ('yolov3', (160, 128), 0.5)])
def test_they_are_those_of_the_built_head(head, size, least):
    width, height = size if isinstance(size, tuple) else (size, size)
    model = build_detector(head, size=size).eval()
    maps = [each.shape[-2:] for each in model.extract_feat(torch.zeros(1, 3, height, width))]
    expected = torch.cat(model.bbox_head.prior_generator.grid_priors(maps, device='cpu'))
    found = head_anchors(model_of(head, size), size)
    assert torch.equal(found.boxes, expected) and found.least == least


def test_mmdets_own():
    """RetinaNet's nine anchors a cell, of five levels down to a stride of 128."""
    model = read_config('ssdlite_baseline_voc', 'det').model
    model.bbox_head.anchor_generator = {
        **{'type': 'AnchorGenerator', 'octave_base_scale': 4, 'scales_per_octave': 3, 'ratios': [0.5, 1.0, 2.0]},
        'strides': [8, 16, 32, 64, 128],
    }
    assert len(head_anchors(model, 160).boxes) == 9 * (20**2 + 10**2 + 5**2 + 3**2 + 2**2)


@pytest.mark.parametrize('head', ['gfl', 'rtmdet'])
def test_heads_without_anchors_of_a_size(head):
    model, nothing = read_config(f'{head}_baseline_voc', 'det').model, resized_objects([], 320, 320)
    assert head_anchors(model, 320) is None and anchor_advice(model, 320, nothing, ['cat']) is None
    assert describe_anchors('x', model, 320, nothing, ['cat']) == 'x has no anchors of a size'


def overlap(a, b):
    sides = [min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1)]
    both = max(sides[0], 0) * max(sides[1], 0)
    return both / (sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - both)


def random_boxes(number, largest):
    rng = np.random.default_rng(number)
    corners = rng.integers(0, 60, (number, 2))
    return np.hstack([corners, corners + rng.integers(3, largest, (number, 2))]).astype(float)


def test_what_is_covered():
    """Against IoUs one by one."""
    boxes, anchors = random_boxes(50, 60), random_boxes(30, 50)
    found = Anchors(torch.tensor(anchors, dtype=torch.float32), 0.5).cover(Objects(boxes, None, None))
    expected = [max(overlap(box, anchor) for anchor in anchors) >= 0.5 for box in boxes]
    assert found.tolist() == expected and 5 < sum(expected) < 45


def test_objects_as_a_detector_sees_them():
    infos = [
        {'width': 200, 'height': 100, 'instances': []},
        {
            **{'width': 200, 'height': 100},
            'instances': [
                {'bbox': [20, 10, 40, 60], 'bbox_label': 2, 'ignore_flag': 0},
                {'bbox': [0, 0, 200, 100], 'bbox_label': 1, 'ignore_flag': 1},
                {'bbox': [0, 0, 200, 100], 'bbox_label': 1},
            ],
        },
    ]
    found = resized_objects(infos, 320, 160)
    assert found.corners.tolist() == [[32, 16, 64, 96], [0, 0, 320, 160]]
    assert found.labels.tolist() == [2, 1] and found.images.tolist() == [1, 1]
    assert [len(part) for part in resized_objects([], 320, 160)] == [0, 0, 0]


def squares(side, number, label):
    """In steps of 16 pixels, so that they lie upon the cells in every way."""
    corners = np.arange(number)[:, None] * 5 % 250 + np.array([[0, 7]])
    return np.hstack([corners, corners + side]).astype(float), np.full(number, label)


@pytest.mark.parametrize('side', [100, 20, 16])
def test_a_first_anchor_is_named_where_it_covers_more(side):
    (large, zeros), (small, ones) = squares(120, 40, 0), squares(side, 40, 1)
    objects = Objects(np.vstack([large, small]), np.concatenate([zeros, ones]), np.zeros(80))
    said = anchor_advice(model_of('ssdlite'), 320, objects, ['large', 'small', 'absent'])
    if side == 100:
        assert said is None
        return
    shares = {
        first: head_anchors(model_of('ssdlite', first_anchor=first), 320).cover(Objects(small, None, None)).mean()
        for first in (0.12, 0.1, 0.08, 0.06, 0.05, 0.04, 0.03)
    }
    named = float(re.search(r'first_anchor=([\d.]+)', said)[1])
    assert shares[named] == max(shares.values()) > shares[0.12] and 'large' not in said
    assert re.findall(r'small (\d+)%', said) == [f'{shares[first] * 100:.0f}' for first in (0.12, named)]
    assert anchor_advice(model_of('ssdlite', first_anchor=named), 320, objects, ['large', 'small']) is None


def check(*args, capsys):
    with pytest.raises(SystemExit) as ended:
        run_command('check', list(map(str, args)))
    return ended.value.code, capsys.readouterr().out.splitlines()


def test_the_command(tmp_path, capsys):
    """Objects of 20x20 and 30x24 pixels in images of 64x48, which at 320 are 115 and 155 pixels large."""
    write_photographs(tmp_path)
    status, lines = check(tmp_path, capsys=capsys)
    start = lines.index('anchors of ssdlite_baseline_voc at 320 px, and objects that are trained on')
    counted = [line.split()[-2:] for line in lines[start + 2 : start + 9]]
    assert (
        status == 0
        and counted[3:] == [['6', '100%']] * 2 + [['6', '100%']] * 2
        and lines[start - 1] == ''
        and lines[-1] == 'nothing missing or malformed'
    )
    assert [line.split()[-1] for line in lines[start + 2 : start + 5]] == ['0'] * 3
    generator = 'model.bbox_head.anchor_generator'
    large = [f'{generator}.first_anchor=0.9', f'{generator}.anchor_range=(0.95,1.05)', f'{generator}.ratios=(1.1,)']
    lines = check(tmp_path, '--cfg-options', *large, capsys=capsys)[1]
    assert lines[start + 5].split() == ['64', 'to', '128', '6', '0%']
    assert re.match('few objects overlap .*: cat 0%.* With --cfg-options .*: cat 100%', lines[start + 10])
    assert (
        'gfl_baseline_voc has no anchors of a size' in check(tmp_path, '--config', 'gfl_baseline_voc', capsys=capsys)[1]
    )
    assert not any('anchor' in line for line in check(tmp_path, '--size', 100, capsys=capsys)[1])


@pytest.mark.parametrize(
    ('option', 'said'),
    [
        ('first_anchor=0', 'first_anchor is 0: expected a share'),
        ('anchor_range=(1,)', 'model.bbox_head.anchor_generator does not fit: linspace() received'),
        ('ratios=(0,)', 'does not fit: division by zero. Correct it in the config or --cfg-options'),
        ('type=Nope', 'does not fit: .*Nope is not in the'),
    ],
)
def test_anchors_that_cannot_be(tmp_path, capsys, option, said):
    """Said before the data, which is not there, is looked for."""
    with pytest.raises(SystemExit):
        run_command('check', [str(tmp_path), '--cfg-options', f'model.bbox_head.anchor_generator.{option}'])
    assert re.search(said.replace('()', r'\(\)'), capsys.readouterr().err)


def test_a_size_that_the_named_config_cannot_have(tmp_path, capsys):
    write_photographs(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run_command('check', [str(tmp_path), '--size', '100', '--config', 'ssdlite_baseline_voc'])
    said = capsys.readouterr().err
    assert ended.value.code == 2 and 'image size 100: expected a multiple of 32 of at least 96' in said


@pytest.mark.parametrize('wrapped', [False, True])
def test_training_says_it(voc, tmp_path, capsys, wrapped):
    config = detector_config(voc, tmp_path / 'run', epochs=1, model__bbox_head__anchor_generator__first_anchor=0.9)
    config.model.bbox_head.anchor_generator.update(anchor_range=(0.95, 1.05), ratios=(1.1,))
    if wrapped:
        config.train_dataloader.dataset = {
            'type': 'RepeatDataset',
            'times': 2,
            'dataset': config.train_dataloader.dataset,
        }
    train_detector(config)
    assert 'warning: few objects overlap with an anchor (IoU of 0.4 or more): cat 0%' in capsys.readouterr().out
