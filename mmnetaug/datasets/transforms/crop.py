"""Random crops around objects."""

import numpy as np
from mmdet.datasets.transforms import MinIoURandomCrop as _MinIoURandomCrop
from mmdet.structures.bbox import autocast_box_type

from mmnetaug.registry import TRANSFORMS

TRIES = 50  # at a threshold before another is drawn, as in mmdet


@TRANSFORMS.register_module()
class MinIoURandomCrop(_MinIoURandomCrop):
    """mmdet's ``MinIoURandomCrop`` (SSD's), which looks at all tries at once.

    The same state of NumPy's random numbers gives the same crop as mmdet's, and is left as by mmdet's.

    Args:
        min_ious, min_crop_size, bbox_clip_border: as in mmdet.
    """

    @autocast_box_type()
    def transform(self, results: dict) -> dict:
        """Crop ``img`` (H, W, C); objects whose centre is outside go, the boxes of the others are moved and cut."""
        if results.get('gt_masks') is not None or results.get('gt_seg_map') is not None:
            return super().transform(results)
        image, boxes = results['img'], results['gt_bboxes']
        corners = boxes.tensor.numpy()
        patch = None
        while patch is None:
            self.mode = self._random_mode()
            if self.mode == 1:
                return results
            patch = self._find(image.shape[1], image.shape[0], corners)
        left, top, right, bottom = patch
        if len(corners):
            inside = _centres_inside(corners, np.array([patch]))[0]
            kept = boxes[inside]
            kept.translate_([-left, -top])
            if self.bbox_clip_border:
                kept.clip_([bottom - top, right - left])
            results['gt_bboxes'] = kept
            for key in ('gt_ignore_flags', 'gt_bboxes_labels'):
                if results.get(key) is not None:
                    results[key] = results[key][inside]
        results['img'] = image[top:bottom, left:right]
        results['img_shape'] = results['img'].shape[:2]
        return results

    def _find(self, width: int, height: int, corners: np.ndarray) -> list[int] | None:
        """Left, top, right and bottom of the first of ``TRIES`` crops that will do."""
        before = np.random.get_state()
        # mmdet draws one after the other, two for a try of impossible shape and four for another
        draws = np.random.random_sample(4 * TRIES).tolist()
        patches, used, ends = [], 0, []
        for _ in range(TRIES):
            w, h = (_uniform(draws[used + i], self.min_crop_size * side, side) for i, side in [(0, width), (1, height)])
            used += 2
            if 0.5 <= h / w <= 2:
                left, top = _uniform(draws[used], width - w), _uniform(draws[used + 1], height - h)
                used += 2
                patch = [int(left), int(top), int(left + w), int(top + h)]
                if patch[2] != patch[0] and patch[3] != patch[1]:
                    patches.append(patch)
                    ends.append(used)
        found = _suitable(corners, np.array(patches), self.mode) if patches else None
        np.random.set_state(before)
        np.random.random_sample(used if found is None else ends[found])
        return None if found is None else patches[found]


def _uniform(draw: float, low: float, high: float = 1.0) -> float:
    """What ``numpy.random.uniform(low, high)`` makes of a draw from [0, 1); mmdet leaves out ``high`` in places."""
    return low + (high - low) * draw


def _suitable(corners: np.ndarray, patches: np.ndarray, least: float) -> int | None:
    """The first of (k, 4) patches that overlaps each of (n, 4) boxes by ``least`` and holds the centre of one."""
    if not len(corners):
        return 0
    crops = patches.astype(np.float32)[:, None]
    sides = np.minimum(crops[..., 2:], corners[:, 2:]) - np.maximum(crops[..., :2], corners[:, :2])
    sides = np.maximum(sides, 0)
    overlap = sides[..., 0] * sides[..., 1]
    union = _areas(crops) + _areas(corners) - overlap
    overlaps = overlap / np.maximum(union, np.float32(1e-6))
    suitable = ~(overlaps.min(axis=1) < least) & _centres_inside(corners, patches).any(axis=1)
    return int(suitable.argmax()) if suitable.any() else None


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def _centres_inside(corners: np.ndarray, patches: np.ndarray) -> np.ndarray:
    """(k, n): whether the centre of a box is inside a patch."""
    centres = (corners[:, :2] + corners[:, 2:]) / 2
    return ((centres > patches[:, None, :2]) & (centres < patches[:, None, 2:])).all(axis=2)
