/* One call: what is computed, in units that threads take one after the other. Each number of a result is written in one unit only. */
#ifndef LCL_JOB_H
#define LCL_JOB_H

#include <stdatomic.h>
#include "windows.h"

enum {
    LINE = 64,       /* Bytes of a line of the caches. */
    PAGE = 4096,     /* Bytes of a way of the nearest one. */
    WAYS = 8,        /* Of which it has so many. */
    AHEAD = 64,      /* Numbers behind those in use that are fetched meanwhile: those of the next positions or groups. */
    RUN = 8,         /* Most units that a thread takes at a time: positions side by side share lines. */
    TURNS = 16,      /* Least turns of a thread, so that all end together. */
    SOON = 2048,     /* Numbers of a weight that is read once, behind those in use, that are fetched meanwhile. */
    DEPTH = 512,     /* Most rows of a factor that are multiplied at a time. */
    LEVEL = 16384,   /* Numbers of a factor that stay in a cache while the other passes by. */
    PANELS = 2 * LEVEL, /* Numbers of a factor that are copied at a time, its columns filled up to pairs of vectors: less than twice as many. */
    COLUMNS = 256,   /* Its columns. */
    FAR = 64,        /* Rows of it that lie so many numbers apart are copied, unless they are few. */
    WINDOWS = 16384, /* Numbers of windows that are gathered at a time. */
    SPAN = 64,       /* Least outputs of a unit, where there are several groups. */
    WEIGHTS = 32768, /* Weights of a position that stay in a cache. */
    CHUNK = 16,      /* Samples of a unit that has all groups. */
    SAMPLES = 32,    /* Samples that lie side by side in the gradient of the input, a multiple of every vector. */
    SITES = 1 << 22, /* Bytes of that gradient that a thread keeps so, if a vector of samples needs no more. */
    SLICE = 1 << 16, /* Bytes of it that are made zeros at a time, or numbers that are rounded. */
    ROOM = 16384     /* Numbers of a half format that are widened, or sums that are to be rounded, in one place. */
};

typedef struct {
    const lcl_layer *layer;
    int64_t batch;
    /* The two factors, what is added to the output, the result, and what is made beside the gradient of the weight, if anything is. */
    const void *first, *second, *bias;
    void *result, *bias_gradient;
    int bias_per_position;
    /* Groups and samples of a unit. */
    int64_t span, samples;
    /* The gradient of the input is added up in blocks of `rows` positions along `axis`, the sites that these see in scratch from byte
       `sums_at` on; so are outputs of half formats before they are rounded. */
    int axis;
    int64_t rows, blocks, sums_at;
    /* Every second block, from this one on: those do not meet. */
    int64_t phase;
    /* How many there are, and how many of them a thread takes at a time. */
    int64_t units, run;
    atomic_llong taken, done;
} job;

typedef void unit(const job *, int64_t number, void *scratch);

/* What is compiled once per number format and kind of processor; `number` is the size of one that is computed in. */
typedef struct {
    unit *output, *input_gradient, *weight_gradient, *thin_output, *thin_input_gradient, *thin_weight_gradient;
    unit *own_sites; /* the gradient of the input where positions share none */
    unit *round; /* from what is computed in, where that is another format */
    size_t scratch, vector, number;
} kernels;

/* Whether `lines` that lie so many bytes apart are in the nearest cache together: of so many ways, a page each. */
static inline int together(int64_t lines, int64_t apart) {
    apart |= PAGE;
    return lines <= WAYS * least(PAGE / LINE, PAGE / (apart & -apart));
}

/* Rows of the weight that are multiplied at a time in a group of so many outputs. */
static inline int64_t depth_of(int64_t width) { return most(64, least(DEPTH, LEVEL / width)); }

static inline int64_t spans(const job *j) { return up(j->layer->groups, j->span); }

/* The first group of unit `number`, and the one behind its last; returns the number of the rest, which all spans share. */
static inline int64_t span_of(const job *j, int64_t number, int64_t *groups) {
    groups[0] = number % spans(j) * j->span, groups[1] = least(groups[0] + j->span, j->layer->groups);
    return number / spans(j);
}

/* As `span_of`; and the first sample of the unit, and how many there are, where it has a chunk of them. */
static inline int64_t chunk_of(const job *j, int64_t number, int64_t *groups, int64_t *first, int64_t *samples) {
    int64_t chunks = up(j->batch, j->samples);
    number = span_of(j, number, groups);
    *first = number % chunks * j->samples, *samples = least(j->samples, j->batch - *first);
    return number / chunks;
}

/* As `chunk_of`, and the positions, of a unit of the gradient of the input. */
static inline void block_of(const job *j, int64_t number, int64_t (*box)[2], int64_t *first, int64_t *samples, int64_t *groups) {
    int64_t at = (2 * chunk_of(j, number, groups, first, samples) + j->phase) * j->rows;
    for (int axis = 0; axis < 3; axis++) box[axis][0] = 0, box[axis][1] = j->layer->output[axis];
    box[j->axis][0] = at, box[j->axis][1] = least(at + j->rows, j->layer->output[j->axis]);
}

/* The layer whose input is the sites that a block of positions sees, of one group; `*skipped` lie before them along the axis. */
static inline lcl_layer seen_by(const job *j, const int64_t (*box)[2], int64_t *skipped) {
    lcl_layer seen = *j->layer;
    int axis = j->axis;
    int64_t from = box[axis][0] * seen.stride[axis] - seen.lo[axis], to = (box[axis][1] - 1) * seen.stride[axis] - seen.lo[axis] + extent(&seen, axis);
    *skipped = least(most(from, 0), seen.input[axis]);
    seen.lo[axis] += *skipped;
    seen.input[axis] = most(0, least(to, seen.input[axis]) - *skipped);
    seen.channels = seen.group_channels;
    return seen;
}

static inline void position(const lcl_layer *s, int64_t number, int64_t *o) {
    for (int axis = 2; axis >= 0; axis--) o[axis] = number % s->output[axis], number /= s->output[axis];
}

/* The positions that use weight `number`. */
static inline void users(const lcl_layer *s, int64_t number, int64_t (*box)[2]) {
    for (int axis = 2; axis >= 0; axis--) {
        int64_t size = s->shared[axis] ? 1 : s->output[axis], at = number % size;
        number /= size;
        box[axis][0] = at, box[axis][1] = s->shared[axis] ? s->output[axis] : at + 1;
    }
}

#endif
