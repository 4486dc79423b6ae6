"""COCO layout."""

from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset

from mmnetaug.datasets.findings import ReportsFindings, image_size, missing_data, usable_box
from mmnetaug.datasets.samplers import SeededSamples
from mmnetaug.errors import InputError
from mmnetaug.registry import DATASETS


@DATASETS.register_module()
class COCODetection(SeededSamples, ReportsFindings, CocoDataset):
    """mmdet's ``CocoDataset``, which leaves out missing and broken images and counts what it leaves out.

    pycocotools evaluates the whole annotation file: objects that are left out in testing count as missed there.

    Raises:
        InputError: no such annotation file, or no image with an object is left.
    """

    LEFT_OUT = ' (objects left out count as missed)'

    def __init__(self, ann_file: str, data_root: str = '', **kwargs: Any) -> None:
        path = Path(data_root) / ann_file
        if not path.is_file():
            missing_data(data_root or path.parent)
            raise InputError(f'no annotation file at {path}: expected one in COCO format')
        super().__init__(ann_file=ann_file, data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict]:
        return [info for info in super().load_data_list() if info is not None]

    def parse_data_info(self, raw_data_info: dict) -> dict | None:
        image, boxes = raw_data_info['raw_img_info'], raw_data_info['raw_ann_info']
        path = Path(self.data_prefix['img']) / image['file_name']
        if not path.is_file():
            self.findings.add('annotations without image left out', image['file_name'])
            return None
        size = image_size(path, decode=self.decode)
        if size is None:
            self.findings.add('files that are no images left out', image['file_name'])
            return None
        kept = []
        for annotation in boxes:
            x, y, width, height = annotation['bbox']
            box = usable_box((x, y, x + width, y + height), size, self.findings, image['file_name'])
            if box is not None:
                bbox = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
                kept.append({**annotation, 'bbox': bbox, 'area': annotation.get('area') or bbox[2] * bbox[3]})
        image = {**image, 'width': size[0], 'height': size[1]}
        return super().parse_data_info({'raw_img_info': image, 'raw_ann_info': kept})
