/* From the raw maps of a detector to boxes: decoding and non-maximum suppression, C99 and the standard library. */
#include "NAME_detect.h"

#include <math.h>
#include <stdlib.h>

CONSTANTS

typedef struct {
    float rank, score; /* what the best are chosen by, and what is returned */
    int pair;          /* prior * classes + label */
} candidate;

static float value(const NAME_value *const maps[], int map, int place) {
#if NAME_INT8
    return (float)(maps[map][place] - NAME_zero_points[map]) * NAME_scales[map];
#else
    return maps[map][place];
#endif
}

#if NAME_KIND != NAME_SSD
static float sigmoid(float x) { return 1.0f / (1.0f + expf(-(x < -80 ? -80 : x > 80 ? 80 : x))); }
#endif

#if NAME_KIND != NAME_YOLOV3
static float clip(float x, float low, float high) { return x < low ? low : x > high ? high : x; }
#endif

/* Whether a is worse: by rank, then by place. */
static int worse(const candidate *a, const candidate *b) {
    return a->rank != b->rank ? a->rank < b->rank : a->pair > b->pair;
}

/* Keep the best of a level in a heap whose root is the worst. */
static int keep(candidate *heap, int count, int most, candidate added) {
    int at, child;
    if (count < most) {
        for (at = count; at > 0 && worse(&added, &heap[(at - 1) / 2]); at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
        heap[at] = added;
        return count + 1;
    }
    if (!worse(&heap[0], &added)) return count;
    for (at = 0; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && worse(&heap[child + 1], &heap[child])) child++;
        if (!worse(&heap[child], &added)) break;
        heap[at] = heap[child];
    }
    heap[at] = added;
    return count;
}

/* Best first; of equal ones the lower class, then the earlier prior. */
static int by_score(const void *left, const void *right) {
    const candidate *a = (const candidate *)left, *b = (const candidate *)right;
    int a_label = a->pair % NAME_CLASSES, b_label = b->pair % NAME_CLASSES;
    if (a->score != b->score) return a->score < b->score ? 1 : -1;
    return a_label != b_label ? a_label - b_label : a->pair - b->pair;
}

/* Scores of one prior, its row in a map. */
static int rate(const NAME_value *const maps[], int level, int row, int prior, candidate *heap, int count, int most) {
    int label;
    candidate found;
#if NAME_KIND == NAME_YOLOV3
    int start = row * (5 + NAME_CLASSES);
    float confidence = sigmoid(value(maps, level, start + 4));
    if (!(confidence >= NAME_CONF_THR)) return count;
#elif NAME_KIND == NAME_SSD
    int start = row * (NAME_CLASSES + 1);
    float largest = value(maps, level, start), sum = 0;
    for (label = 1; label <= NAME_CLASSES; label++) largest = fmaxf(largest, value(maps, level, start + label));
    for (label = 0; label <= NAME_CLASSES; label++) sum += expf(value(maps, level, start + label) - largest);
#else
    int start = row * NAME_CLASSES;
#endif
    for (label = 0; label < NAME_CLASSES; label++) {
#if NAME_KIND == NAME_YOLOV3
        found.rank = sigmoid(value(maps, level, start + 5 + label));
        found.score = found.rank * confidence;
#elif NAME_KIND == NAME_SSD
        found.score = found.rank = expf(value(maps, level, start + label) - largest) / sum;
#else
        found.score = found.rank = sigmoid(value(maps, level, start + label));
#endif
        if (!(found.rank > NAME_SCORE_THR)) continue;
        found.pair = prior * NAME_CLASSES + label;
        count = keep(heap, count, most, found);
    }
    return count;
}

static void decode(const NAME_value *const maps[], int prior, NAME_box *box) {
    const float *first = NAME_first_priors;
    int level = 0, row = prior, cell, n;
    float p[NAME_PER_PRIOR], left, top, right, bottom;
    while (row >= NAME_level_priors[level]) {
        first += NAME_cell_priors[level] * NAME_PER_PRIOR;
        row -= NAME_level_priors[level++];
    }
    cell = row / NAME_cell_priors[level];
    for (n = 0; n < NAME_PER_PRIOR; n++) /* x, y, x, y, or x, y, stride */
        p[n] = first[row % NAME_cell_priors[level] * NAME_PER_PRIOR + n];
    for (n = 0; n < NAME_PER_PRIOR / 2 * 2; n += 2) {
        p[n] += (float)(cell % NAME_level_columns[level]) * NAME_level_steps[2 * level];
        p[n + 1] += (float)(cell / NAME_level_columns[level]) * NAME_level_steps[2 * level + 1];
    }
#if NAME_KIND == NAME_YOLOV3
    {
        int start = row * (5 + NAME_CLASSES);
        float x = (p[0] + p[2]) * 0.5f + (sigmoid(value(maps, level, start)) - 0.5f) * NAME_level_strides[level];
        float y = (p[1] + p[3]) * 0.5f + (sigmoid(value(maps, level, start + 1)) - 0.5f) * NAME_level_strides[level];
        float w = (p[2] - p[0]) * 0.5f * expf(value(maps, level, start + 2));
        float h = (p[3] - p[1]) * 0.5f * expf(value(maps, level, start + 3));
        left = x - w, top = y - h, right = x + w, bottom = y + h;
    }
#elif NAME_KIND == NAME_SSD
    {
        int map = NAME_LEVELS + level, i;
        float d[4], w = p[2] - p[0], h = p[3] - p[1], x, y;
        for (i = 0; i < 4; i++) d[i] = value(maps, map, row * 4 + i) * NAME_stds[i] + NAME_means[i];
        x = (p[0] + p[2]) * 0.5f + w * d[0];
        y = (p[1] + p[3]) * 0.5f + h * d[1];
        w *= expf(clip(d[2], -NAME_MAX_RATIO, NAME_MAX_RATIO)) * 0.5f;
        h *= expf(clip(d[3], -NAME_MAX_RATIO, NAME_MAX_RATIO)) * 0.5f;
        left = x - w, top = y - h, right = x + w, bottom = y + h;
    }
#else
    {
        int map = NAME_LEVELS + level, i;
        float d[4];
        for (i = 0; i < 4; i++) {
#if NAME_KIND == NAME_DISTRIBUTIONS
            int start = (row * 4 + i) * NAME_BINS, bin;
            float largest = value(maps, map, start), sum = 0, weighted = 0;
            for (bin = 1; bin < NAME_BINS; bin++) largest = fmaxf(largest, value(maps, map, start + bin));
            for (bin = 0; bin < NAME_BINS; bin++) {
                float power = expf(value(maps, map, start + bin) - largest);
                sum += power;
                weighted += power * (float)bin;
            }
            d[i] = weighted / sum * p[2];
#elif NAME_KIND == NAME_LOG_DISTANCES
            d[i] = expf(value(maps, map, row * 4 + i) / p[2]) * p[2];
#else
            d[i] = value(maps, map, row * 4 + i);
#endif
        }
        left = p[0] - d[0], top = p[1] - d[1], right = p[0] + d[2], bottom = p[1] + d[3];
    }
#endif
#if NAME_KIND != NAME_YOLOV3
    left = clip(left, 0, NAME_WIDTH), right = clip(right, 0, NAME_WIDTH);
    top = clip(top, 0, NAME_HEIGHT), bottom = clip(bottom, 0, NAME_HEIGHT);
#endif
    box->x1 = left, box->y1 = top, box->x2 = right, box->y2 = bottom;
}

static float overlap(const NAME_box *a, const NAME_box *b) {
    float w = fminf(a->x2, b->x2) - fmaxf(a->x1, b->x1), h = fminf(a->y2, b->y2) - fmaxf(a->y1, b->y1);
    float inner = (w > 0 ? w : 0) * (h > 0 ? h : 0);
    return inner / ((a->x2 - a->x1) * (a->y2 - a->y1) + (b->x2 - b->x1) * (b->y2 - b->y1) - inner);
}

int NAME_detect(const NAME_value *const maps[NAME_MAPS], NAME_box *boxes, int room) {
    static candidate kept[NAME_CANDIDATES]; /* not in parallel */
    int level, row, prior = 0, count = 0, found = 0, i, j;
#if NAME_KIND == NAME_YOLOV3
    for (level = 0; level < NAME_LEVELS; level++)
        for (row = 0; row < NAME_level_priors[level]; row++)
            count = rate(maps, level, row, prior++, kept, count, NAME_CANDIDATES);
#else
    for (level = 0; level < NAME_LEVELS; level++) {
        int here = 0;
        for (row = 0; row < NAME_level_priors[level]; row++)
            here = rate(maps, level, row, prior++, kept + count, here, NAME_level_candidates[level]);
        count += here;
    }
#endif
    qsort(kept, (size_t)count, sizeof(candidate), by_score);
    if (room > NAME_MAX_PER_IMG) room = NAME_MAX_PER_IMG;
    for (i = 0; i < count && found < room; i++) {
        NAME_box *box = &boxes[found];
        decode(maps, kept[i].pair / NAME_CLASSES, box);
        box->score = kept[i].score;
        box->label = kept[i].pair % NAME_CLASSES;
        if (!(box->x2 - box->x1 > NAME_MIN_SIZE && box->y2 - box->y1 > NAME_MIN_SIZE)) continue;
        for (j = 0; j < found; j++)
            if (boxes[j].label == box->label && overlap(&boxes[j], box) > NAME_IOU_THR) break;
        found += j == found;
    }
    return found;
}
