/* Geometry, the same for all number formats: what a position reads, as runs of memory. Taps outside the input are no part of any run. */
#ifndef LCL_WINDOWS_H
#define LCL_WINDOWS_H

#include <stdlib.h>
#include "layer.h"

/* `length` numbers that lie side by side at `site` of a sample, and begin at row `row` of the weight's (k*cg, co). */
typedef struct {
    int64_t site, row, length;
} run;

/* Memory that will be read soon, and is fetched while something is multiplied: `step` bytes for each number of the depth of a tile. */
typedef struct {
    const char *at;
    int64_t step;
} stream;

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t up(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t volume(const int64_t *sizes) { return sizes[0] * sizes[1] * sizes[2]; }

/* Sites that a window spans along an axis. */
static inline int64_t extent(const lcl_layer *s, int axis) { return (s->kernel[axis] - 1) * s->dilation[axis] + 1; }

/* Numbers of a sample of x, of a sample of y, and of the weight of a position. */
static inline int64_t x_size(const lcl_layer *s) { return volume(s->input) * s->channels; }
static inline int64_t y_size(const lcl_layer *s) { return volume(s->output) * s->outputs; }
static inline int64_t fan_in(const lcl_layer *s) { return volume(s->kernel) * s->group_channels; }
static inline int64_t weight_size(const lcl_layer *s) { return fan_in(s) * s->outputs; }

static inline int64_t weights(const lcl_layer *s) {
    int64_t count = 1;
    for (int axis = 0; axis < 3; axis++) count *= s->shared[axis] ? 1 : s->output[axis];
    return count;
}

/* Which weight, in C order, the position uses. */
static inline int64_t weight_of(const lcl_layer *s, const int64_t *o) {
    int64_t number = 0;
    for (int axis = 0; axis < 3; axis++) number = s->shared[axis] ? number : number * s->output[axis] + o[axis];
    return number;
}

static inline int64_t flat(const lcl_layer *s, const int64_t *o) { return (o[0] * s->output[1] + o[1]) * s->output[2] + o[2]; }

/* Moves `o` on inside a box of positions; returns 0 behind the last one. */
static inline int next(int64_t *o, const int64_t (*box)[2]) {
    for (int axis = 2; axis >= 0; axis--) {
        if (++o[axis] < box[axis][1]) return 1;
        o[axis] = box[axis][0];
    }
    return 0;
}

/* Whether taps side by side along the last axis are one run. */
static inline int joined(const lcl_layer *s) { return s->groups == 1 && !s->table && s->dilation[2] == 1; }

/* The most runs of a window, each of at most `longest` numbers. */
static inline int64_t runs_of(const lcl_layer *s, int64_t longest) {
    int64_t length = joined(s) ? s->kernel[2] * s->group_channels : s->group_channels;
    return fan_in(s) / length * up(length, longest);
}

/* The runs of the window at `o`, of its first group; returns how many. */
static inline int64_t window(const lcl_layer *s, const int64_t *o, int64_t longest, run *runs) {
    int64_t from[3], to[3], start[3], k[3], count = 0, width = joined(s) ? s->kernel[2] : 1;
    for (int axis = 0; axis < 3; axis++) {
        start[axis] = o[axis] * s->stride[axis] - s->lo[axis];
        from[axis] = start[axis] < 0 ? up(-start[axis], s->dilation[axis]) : 0;
        to[axis] = start[axis] < s->input[axis] ? least(s->kernel[axis], up(s->input[axis] - start[axis], s->dilation[axis])) : 0;
    }
    for (k[0] = from[0]; k[0] < to[0]; k[0]++)
        for (k[1] = from[1]; k[1] < to[1]; k[1]++)
            for (k[2] = from[2]; k[2] < to[2]; k[2] += width) {
                int64_t site = 0, tap = 0, length = least(width, to[2] - k[2]) * s->group_channels;
                for (int axis = 0; axis < 3; axis++) {
                    site = site * s->input[axis] + start[axis] + k[axis] * s->dilation[axis];
                    tap = tap * s->kernel[axis] + k[axis];
                }
                for (int64_t done = 0; done < length; done += longest)
                    runs[count++] = (run){site * s->channels + done, tap * s->group_channels + done, least(longest, length - done)};
            }
    return count;
}

/* How many numbers runs hold together. */
static inline int64_t numbers(const run *runs, int64_t count) {
    int64_t sum = 0;
    for (int64_t r = 0; r < count; r++) sum += runs[r].length;
    return sum;
}

/* How many runs from `first` on hold at most `rows` numbers together, at least one; their sum in `*total`. */
static inline int64_t block(const run *runs, int64_t first, int64_t count, int64_t rows, int64_t *total) {
    int64_t end = first;
    for (*total = 0; end < count && (end == first || *total + runs[end].length <= rows); end++) *total += runs[end].length;
    return end - first;
}

#endif
